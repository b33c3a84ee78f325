//! The one program that runs on a node. Keys come on its standard input and are never words of a command.

/// Reads a repository, or changes it: `sh -c PROGRAM donjon FOLDER OWNER GROUP MODE`.
///
/// On standard input: `have INDEX DIGEST` for each key that must be there, and no other; then, after `go`, changes in
/// their order, `put INDEX KEY` and `drop INDEX`; then `end`. Each key is written beside its place, synced, and renamed;
/// nothing is done before the whole of the input has been read as far as `go`, nor for a line that was cut short. It ends
/// with what is there: `key INDEX DIGEST SINCE` and `now TIME`.
///
/// The folder may belong to the service, which can put a link in the place of any name in it. So nothing is written
/// there by name: it works in a folder of its own inside, which is entered once and looked at from within, and a key
/// leaves it by a rename, which follows no link.
///
/// Exit codes: 8 there is no such folder, 9 it holds something else than it must, 10 the input is not understood, 11 the
/// folder that it has just made is not where it is.
pub(super) const PROGRAM: &str = r#"
set -eu
umask 077
folder=$1 owner=$2 group=$3 mode=$4
cd -- "$folder" 2>/dev/null || exit 8
repository=.
list() {
    for path in "$repository"/*; do
        file=${path##*/}
        case $file in ''|*[!0-9]*) continue ;; esac
        [ -f "$path" ] && [ ! -L "$path" ] || continue
        digest=$(tr -d '[:space:]' < "$path" | sha256sum)
        echo "$1 $file ${digest%% *}${2:+ $(stat -c %Z -- "$path")}"
    done
}
enter() {
    uid=$(stat -c %u .) gid=$(stat -c %g .) place=$(stat -c %d:%i .)
    rm -rf -- ./.donjon.*
    work=$(mktemp -d -- ./.donjon.XXXXXXXX)
    cd -P -- "$work"
    [ -O . ] && [ "$(stat -c %a .)" = 700 ] && [ "$(stat -c %d:%i ..)" = "$place" ] || exit 11
    trap 'rm -f -- key; cd .. && rmdir -- "$work"' EXIT
    repository=..
}
have= begun= ended=
while read -r word index key; do
    case $word in
        have) have="$have$word $index $key
" ;;
        go)
            [ "$have" = "$(list have | LC_ALL=C sort)${have:+
}" ] || exit 9
            enter
            begun=yes ;;
        put)
            [ "$begun" ] && [ "${#key}" -eq 44 ] || exit 10
            printf %s "$key" > key
            chown -- "${owner:-$uid}:${group:-$gid}" key
            chmod -- "$mode" key
            sync key
            mv -fT -- key "../$index"
            sync .. ;;
        drop)
            [ "$begun" ] || exit 10
            rm -f -- "../$index"
            sync .. ;;
        end) ended=yes; break ;;
        *) exit 10 ;;
    esac
done
[ "$ended" ] || exit 10
list key since
echo "now $(date +%s)"
"#;

/// There is no such folder.
pub(super) const NO_FOLDER: i32 = 8;
/// The folder holds something else than it must.
pub(super) const CHANGED: i32 = 9;
