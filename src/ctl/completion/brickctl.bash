# SPDX-License-Identifier: MIT
# bash completion for brickctl(1)

# The names of the bricks, as brickctl lists them with the options typed so far.
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

# The command, and how many of its arguments are complete.
_brickctl_parse() {
	local i
	command='' arguments=0
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-[acimnt] | --address | --allow | --brick | --config | --control | --count | --expires | --file | --interval | --metadata | --module | --timeout | --token-file | --type | --tls-*) ((i++)) ;;
		-*) ;;
		*) if [[ $command ]]; then ((arguments++)); else command=${COMP_WORDS[i]}; fi ;;
		esac
	done
}

_brickctl_options() {
	local show='--help --json --no-color --timeout'
	local tls='--tls --tls-ca --tls-cert --tls-key --tls-name'
	case $1 in
	'') echo "$show --address --config --control --version" ;;
	call) echo "$show --address --config --control --metadata --stream --token-file --type $tls" ;;
	info) echo "$show --address --config --control --metadata --token-file --type $tls" ;;
	health) echo "$show --address --config --control --token-file $tls" ;;
	reload) echo "$show --config --control --quiet --wait" ;;
	log-level) echo "$show --brick --config --control --module" ;;
	top) echo "$show --config --control --count --interval" ;;
	list | status | stop) echo "$show --config --control" ;;
	check) echo '--config --help' ;;
	token) echo '--allow --config --expires --file --help' ;;
	help) echo '--help' ;;
	esac
}

_brickctl() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local services='Common LLM Guard Intention Rectify Retrieval Translate Compose'
	local command arguments words=''

	_brickctl_parse
	COMPREPLY=()
	case $previous in
	-c | --config | --control | --file | --tls-ca | --tls-cert | --tls-key | --token-file) compopt -o default && return ;;
	-a | --address | --expires | -i | --interval | -m | --metadata | -n | --count | -t | --timeout | --tls-name) return ;;
	--type) words=$services ;;
	--allow | --brick) words=$(_brickctl_bricks) ;;
	--module) return ;;
	*) case $current:$command:$arguments in
		-*) words=$(_brickctl_options "$command") ;;
		*::*) words='call info health list status top reload stop log-level check token index help' ;;
		*:call:0 | *:info:0 | *:health:0) words="$services $(_brickctl_bricks)" ;;
		*:call:1) words='GetServiceInfo Unary OutputStreaming InputStreaming BidiStreaming' ;;
		*:token:0) words='new' ;;
		*:log-level:0) words='error warning notice info debug' ;;
		*:help:0) words='call info health list status top reload stop log-level check token index' ;;
		*:check:0 | *:index:*) compopt -o default && return ;;
		esac ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _brickctl brickctl
