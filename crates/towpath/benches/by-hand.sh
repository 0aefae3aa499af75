# What a person does who deploys the example without a platform: a role and a database, then the
# program, then waiting until it is ready. Prints the program's process id.
set -euo pipefail
psql --no-psqlrc --quiet "$ADMIN" \
  -c "CREATE ROLE $NAME LOGIN PASSWORD '$PASSWORD'" \
  -c "CREATE DATABASE $NAME OWNER $NAME"
"$PROGRAM" >"$LOG" 2>&1 </dev/null &
echo $!
until curl --silent --fail --output /dev/null "http://127.0.0.1:$PORT/readyz"; do
  sleep 0.01
done
