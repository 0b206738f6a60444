#!/bin/bash
# Makes the roles of POSTGRES_DB: at a server's first start, from /docker-entrypoint-initdb.d, or whenever it is called
# beside a server that runs. Each password is in APP_PASSWORD, MOVER_PASSWORD and AGENT_PASSWORD, or in the file that
# such a variable with _FILE behind it names; a role without one is left alone.
set -euo pipefail

for name in POSTGRES_USER APP_PASSWORD MOVER_PASSWORD AGENT_PASSWORD; do
  file=${name}_FILE
  if [[ -z ${!name:-} && -n ${!file:-} ]]; then
    printf -v "$name" %s "$(< "${!file}")"
  fi
  export "$name=${!name:-}"
done

# By the environment, for the arguments of a process can be read by all.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "${POSTGRES_DB:-$POSTGRES_USER}" << 'SQL'
\getenv app APP_PASSWORD
\getenv mover MOVER_PASSWORD
\getenv agent AGENT_PASSWORD
\set extensions ''
\getenv extensions EXTENSIONS
\o /dev/null
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
SELECT set_config('roles.app', :'app', false), set_config('roles.mover', :'mover', false),
       set_config('roles.agent', :'agent', false), set_config('roles.extensions', :'extensions', false);
\o
@roles.sql@
SQL
