# For the shell of docs/feeds.md: . ./feeds.sh
FEED=http://127.0.0.1:7424/feeds/v1/so-dien-thoai
AUTH="Authorization: Bearer $(sed -n 's/^key //p' so-dien-thoai.txt)"
# The sequence of the snapshot, once there is one.
[ ! -f snapshot.headers ] || AFTER=$(tr -d '\r' < snapshot.headers | sed -n 's/^Lienthong-Sequence: //p')
# The name of the bulk file, once one has been asked for.
[ ! -f file.json ] || NAME=$(grep -o '"name":"[^"]*"' file.json | head -n 1 | cut -d '"' -f 4)
