# SPDX-License-Identifier: MIT
# bash completion for brickd(8)

_brickd() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local words='--config --check --print-config --print-schema --inspect --describe --version --help'

	COMPREPLY=()
	case $previous in
	-c | --config | --check | --inspect | --describe) compopt -o default && return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _brickd brickd
