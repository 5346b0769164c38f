# The names of the bricks. Takes the options typed so far that say where brickctl finds them.
_brickctl_bricks() {
	local options=() i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config | --control) options+=("${COMP_WORDS[i]}" "${COMP_WORDS[++i]}") ;;
		esac
	done
	brickctl list --json --timeout 1s "${options[@]}" 2>/dev/null |
		grep -o '"name":"[^"]*"' | cut -d '"' -f 4
}

# Sets command, and arguments to the number of its arguments that are complete.
_brickctl_parse() {
	local i word
	command='' arguments=0
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == -* ]]; then
			if [[ $(_brickctl_value_of "$word") ]]; then ((i++)); fi
		elif [[ $command ]]; then
			((arguments++))
		else
			command=$word
		fi
	done
}

_brickctl() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command arguments what words=''

	_brickctl_parse
	COMPREPLY=()
	what=$(_brickctl_value_of "$previous")
	if [[ ! $what && $current == -* ]]; then
		words=$(_brickctl_options_of "$command")
	elif [[ ! $what ]]; then
		what=$(_brickctl_argument_of "$command" "$arguments")
	fi
	case $what in
	FILE | PATH | ARGUMENT) compopt -o default && return ;;
	'BRICK|SERVICE') words="$(_brickctl_words_of SERVICE) $(_brickctl_bricks)" ;;
	BRICK*) words=$(_brickctl_bricks) ;;
	[[:lower:]]*) words=$what ;; # a word to type as it stands
	?*) words=$(_brickctl_words_of "$what") ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _brickctl brickctl
