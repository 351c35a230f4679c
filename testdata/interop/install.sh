#!/bin/sh
# Installs the programs that the tests against strangers' software run, or names them.
set -eu
cd "$(dirname "$0")"

missing=''
need() { # need COMMAND-THAT-SUCCEEDS PACKAGE
	if ! eval "$1" >/dev/null 2>&1; then missing="$missing $2"; fi
}
look() {
	missing=''
	need 'command -v openssl' openssl
	need 'command -v tmux' tmux
	need 'command -v profanity' profanity
	need 'command -v go-sendxmpp' go-sendxmpp
	need '/usr/bin/python3 -c "import slixmpp"' python3-slixmpp
	need '/usr/bin/python3 -c "import aiohttp"' python3-aiohttp # for slixmpp's uploads
	need 'test -e /usr/include/expat.h' libexpat1-dev
	need '/usr/bin/python3 -c "import nbxmpp"' python3-nbxmpp
	need 'command -v gajim' gajim
	need 'test -e /usr/share/gajim/plugins/omemo' gajim-omemo
	need 'ls /usr/lib/*/gdk-pixbuf-2.0/*/loaders/*svg*' librsvg2-common # for Gajim's icons
	need 'command -v dino-im' dino-im
	need 'command -v ip' iproute2 # Dino is in a network of its own
	need 'command -v Xvfb' xvfb
	need 'command -v dbus-run-session' dbus-daemon
	need 'command -v xdotool' xdotool
	need 'command -v import' imagemagick
	need 'command -v node' nodejs
	need 'command -v npm' npm
	need 'command -v chromium' chromium # for the web client
	need 'command -v prosody' prosody
	need 'lua5.4 -e "require \"lunbound\""' lua-unbound # Prosody's own resolver takes no port
	need 'test -x /usr/sbin/ejabberdctl' ejabberd
	need 'command -v biboumi' biboumi
	need 'command -v nginx' nginx-light
	need 'command -v haproxy' haproxy
	need 'command -v caddy' caddy
	need 'test -x /usr/sbin/ngircd' ngircd
}
look
if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing:$missing"
		export DEBIAN_FRONTEND=noninteractive
		# The servers among them are started by the tests, and not by their packages.
		policy=/usr/sbin/policy-rc.d
		if [ ! -e $policy ]; then
			trap 'rm -f $policy' EXIT
			printf '#!/bin/sh\nexit 101\n' >$policy
			chmod +x $policy
		fi
		apt-get update -q >/dev/null || true # what is still missing is named below
		apt-get install -q -y --no-install-recommends $missing >/dev/null || true
		look
	fi
	if [ -n "$missing" ]; then
		echo "The tests need these Debian packages, and they cannot be installed from here:$missing"
		echo "Install them, or run 'make check' for the tests that need nothing but Go and gcc."
		exit 1
	fi
fi
if [ ! -d node_modules/@xmpp/client ] || [ ! -d node_modules/playwright-core ]; then
	npm install --no-audit --no-fund --no-package-lock --loglevel=error
fi
