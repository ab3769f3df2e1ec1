#!/bin/sh
# Makes this machine and this checkout ready to run Tenet: Debian packages, npm packages, the build. Installs what is missing
# and nothing else, says one line on stderr for each thing it does, and is silent and quick when there is nothing to do.
# Called by the npm scripts before anything that needs node_modules. Never starts, stops or enables a service of the machine,
# never touches its links, tables or sysctls.
# `--with PACKAGE… --` installs these Debian packages as well, where there is Debian: what benchmarks are compared with, and what
# tests of the API's page and of the documents run. The command after it runs without them too.
# Exit status: 0 ready, 1 something failed, 2 this machine cannot run Tenet (the message says why and what to do).
set -eu

packages='etcd-server etcd-client iproute2 nftables iptables ipset conntrack iputils-ping procps'
node_minimum='20.11'
sources='deploy controller cni-plugin dataplane test bench package.json package-lock.json tsconfig.json'
build_stamp='dist/.setup-stamp'
# Debian's plain su leaves these out, and ip, nft and nsenter's friends live there.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

npm_stamp='node_modules/.setup-package-lock.json'
lock_file='/run/lock/tenet-setup.lock'

wanted_packages=''
if [ "${1-}" = --with ]; then
  shift
  while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    wanted_packages="$wanted_packages $1"
    shift
  done
  [ "$#" -eq 0 ] || shift
fi

cd "$(dirname "$0")/../.."

say() { printf 'setup: %s\n' "$*" >&2; }
# refuse WHAT HOW: this machine cannot run Tenet as it is
refuse() {
  say "$1"
  printf '       %s\n' "$2" >&2
  exit 2
}

# step DESCRIPTION COMMAND…: one line with how long it took; the command's output is shown only if it fails
step() {
  step_name=$1
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/tenet-setup.XXXXXX")
  started=$(date +%s)
  printf 'setup: %s' "$step_name" >&2
  if "$@" >"$log" 2>&1 </dev/null 9>&-; then
    printf ' (%s s)\n' "$(($(date +%s) - started))" >&2
    rm -f "$log"
  else
    status=$?
    printf ': failed with status %s. The end of its output (all of it: %s):\n' "$status" "$log" >&2
    tail -n 40 "$log" | sed 's/^/  | /' >&2
    exit 1
  fi
}

check_machine() {
  [ "$(uname -s)" = Linux ] || refuse "needs Linux, this is $(uname -s)." 'Use a Debian 12 machine or virtual machine.'
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) refuse "needs an x64 or arm64 processor, this is $(uname -m)." 'Use a machine of one of these kinds.' ;;
  esac
  [ "$(id -u)" -eq 0 ] ||
    refuse 'needs root: it makes network namespaces and installs packages.' \
      "Run the same command as root, for example: sudo -E env PATH=\"\$PATH\" npm run ${npm_lifecycle_event:-demo}"
  command -v node >/dev/null ||
    refuse "needs Node.js $node_minimum or newer, there is none in PATH." \
      'Debian 12 has an older one: take Node 20 from nodejs.org, and npm with it.'
  node_version=$(node --version)
  old=$(printf '%s\n%s\n' "$node_minimum" "${node_version#v}" | sort -V | head -n 1)
  [ "$old" = "$node_minimum" ] ||
    refuse "needs Node.js $node_minimum or newer, $(command -v node) is $node_version." \
      'Take Node 20 from nodejs.org and put its bin folder first in PATH.'
  command -v npm >/dev/null || refuse 'needs npm, there is none in PATH.' 'It comes with Node.js from nodejs.org.'
}

missing_packages() {
  for package in $packages$wanted_packages; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
      installed) ;;
      *) printf '%s ' "$package" ;;
    esac
  done
}

# apt_install PACKAGE…: services of these packages are not started: sysv scripts see run level 1, in which nothing starts, and a
# running systemd is hidden from the packages' scripts, in a mount namespace of apt's own.
apt_install() {
  install='
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 PREVLEVEL=N
    install() { apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; }
    install "$@" || { apt-get update && install "$@"; }
  '
  if [ -d /run/systemd/system ]; then
    unshare --mount sh -euc "mount -t tmpfs -o mode=755 none /run/systemd; $install" apt_install "$@"
  else
    sh -euc "$install" apt_install "$@"
  fi
}

# A package just installed enables its service for the next boot; Tenet runs etcd itself, so that is undone.
disable_etcd_service() {
  update-rc.d etcd disable && { ! command -v systemctl || systemctl disable etcd.service; }
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    for tool in etcd etcdctl ip nft iptables ipset conntrack ping ps; do
      command -v "$tool" >/dev/null || refuse "needs the command $tool, and this is no Debian to install it on." \
        "On Debian 12 these packages have all of it: $packages"
    done
    return
  fi
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  # shellcheck disable=SC2086 # a list of words
  step "installing Debian packages: ${missing% }" apt_install $missing
  case " $missing" in
    *' etcd-server '*) step 'leaving the etcd service that came along switched off' disable_etcd_service ;;
  esac
}

# Makes one of everything in a network namespace that ends with the command.
check_kernel() {
  command -v unshare >/dev/null || refuse 'needs the command unshare.' 'It is in the Debian package util-linux.'
  if ! fault=$(unshare --net sh -euc '
    try() { what=$1; shift; "$@" >/dev/null 2>&1 || { printf "%s" "$what"; exit 1; }; }
    try "network namespaces (CONFIG_NET_NS)" ip link set lo up
    try "veth pairs (CONFIG_VETH)" ip link add name tnp0 type veth peer name tnp1
    try "VXLAN links (CONFIG_VXLAN)" ip link add name tnt1 type vxlan id 1 dev tnp0 dstport 4789 nolearning
    try "nf_tables with connection tracking (CONFIG_NF_TABLES_INET, CONFIG_NFT_CT)" nft "table inet tenet {
      set guard { type ifname . ipv4_addr; }
      chain forward { type filter hook forward priority 0; ct state new iifname . ip saddr @guard drop; }
    }"
  ' 2>/dev/null); then
    refuse "the kernel ($(uname -r)) or this container refuses: ${fault:-network namespaces (CONFIG_NET_NS, CAP_SYS_ADMIN)}." \
      'Use a kernel that has it (Debian 12'\''s own does), and if this is a container, run it privileged.'
  fi
}

npm_is_current() {
  if [ -e "$npm_stamp" ]; then cmp -s package-lock.json "$npm_stamp"; return; fi
  # installed by hand: npm writes this file last
  [ -e node_modules/.package-lock.json ] &&
    [ -z "$(find package-lock.json -newer node_modules/.package-lock.json)" ]
}

# Not `npm ci`: it refuses a lock file that lacks a package for some other platform, and a registry that does not carry all of
# them leaves them out. The versions are the lock file's all the same, and it is left as it is.
install_npm() {
  if npm_is_current; then return; fi
  step 'installing npm packages from package-lock.json' \
    npm install --no-save --include=dev --no-audit --no-fund --loglevel=error
  cp package-lock.json "$npm_stamp"
}

# A folder is newer too when a file in it was added or removed.
build_is_current() {
  # shellcheck disable=SC2086 # a list of words
  [ -e "$build_stamp" ] && [ -z "$(find $sources -newer "$build_stamp" -print -quit 2>/dev/null)" ]
}

build() {
  if build_is_current; then return; fi
  mkdir -p dist
  : >"$build_stamp.next" # what changes while the build runs is newer than it
  step 'building' npm run --silent build
  mv "$build_stamp.next" "$build_stamp"
}

check_machine
mkdir -p "$(dirname "$lock_file")"
exec 9>"$lock_file"
if ! flock --nonblock 9; then
  say 'waiting for another set-up on this machine to end'
  flock 9
fi
install_packages
check_kernel
install_npm
build
# The lock is for the set-up alone.
exec 9>&-
if [ "$#" -gt 0 ]; then exec "$@"; fi
