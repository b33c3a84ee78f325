//! The one program that runs on a node. Keys come on its standard input and are never words of a command.

/// Reads a repository, or changes it: `sh -c PROGRAM donjon FOLDER OWNER GROUP MODE`.
///
/// On standard input: `have INDEX DIGEST` for each key that must be there, and no other; then, after `go`, changes in
/// their order, `put INDEX KEY` and `drop INDEX`; then `end`. Each key is written beside its place, synced, and renamed;
/// nothing is done before the whole of the input has been read as far as `go`, nor for a line that was cut short. It ends
/// with what is there: `key INDEX DIGEST SINCE` and `now TIME`.
///
/// Exit codes: 8 there is no such folder, 9 it holds something else than it must, 10 the input is not understood.
pub(super) const PROGRAM: &str = r#"
set -eu
umask 077
folder=$1 owner=$2 group=$3 mode=$4
cd -- "$folder" 2>/dev/null || exit 8
list() {
    for file in *; do
        case $file in ''|*[!0-9]*) continue ;; esac
        [ -f "$file" ] || continue
        digest=$(tr -d '[:space:]' < "$file" | sha256sum)
        echo "$1 $file ${digest%% *}${2:+ $(stat -c %Z -- "$file")}"
    done
}
new=.donjon.new
trap 'rm -f -- "$new"' EXIT
rm -f -- "$new"
have= begun= ended=
while read -r word index key; do
    case $word in
        have) have="$have$word $index $key
" ;;
        go)
            [ "$have" = "$(list have | LC_ALL=C sort)${have:+
}" ] || exit 9
            begun=yes ;;
        put)
            [ "$begun" ] && [ "${#key}" -eq 44 ] || exit 10
            printf %s "$key" > "$new"
            chown -- "${owner:-$(stat -c %u .)}:${group:-$(stat -c %g .)}" "$new"
            chmod -- "$mode" "$new"
            sync "$new"
            mv -f -- "$new" "$index"
            sync . ;;
        drop)
            [ "$begun" ] || exit 10
            rm -f -- "$index"
            sync . ;;
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
