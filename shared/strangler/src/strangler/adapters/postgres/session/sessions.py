"""The settings of a session of the tool: no setting of a database or a role may change what the session does.

Note "nothing inherited": ALTER DATABASE and ALTER ROLE ... SET, PGOPTIONS and the server's own file give a session a
search path, an isolation level, a role, formats. A startup option wins over all of them, so all settings that matter
are startup options. Settings that need a privilege, or that not every version knows, are set afterwards.
"""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

# A bare name finds nothing that others can make, and a policy cannot hide rows without an error.
OWN_EYES = {
    "search_path": "pg_catalog, pg_temp",
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "default_tablespace": "",
    "default_table_access_method": "heap",
    "check_function_bodies": "on",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    "gin_fuzzy_search_limit": "0",
    "plan_cache_mode": "auto",
    "synchronous_commit": "on",
}
# Without these settings a value can print differently on two servers, and so hash differently.
SAME_TEXT = {
    "timezone": "UTC",
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "client_encoding": "UTF8",
}
# So the server notices a vanished client: otherwise it would keep the locks for hours, and finish the statement.
SOON_MISSED = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "2000",
    "client_connection_check_interval": "1000",
}
# Timeouts that an administrator has set for applications would end a long copy, or the export of its snapshot.
UNHURRIED = {"statement_timeout": "0", "lock_timeout": "0", "idle_session_timeout": "0"}


def options(dsn: str, *, idle_ms: int) -> str:
    """The startup options of a session at ``dsn``: first those of the address itself, then those that the tool needs.

    Of two options of the same name the later wins, so an address can choose a role, but no search path.
    """
    needed = {**OWN_EYES, **SAME_TEXT, **SOON_MISSED, **UNHURRIED}
    needed["idle_in_transaction_session_timeout"] = str(idle_ms)
    own = str(conninfo_to_dict(dsn).get("options") or "")
    return " ".join(["-c role=none", *([own] if own else []), *(f"-c {k}={_escaped(v)}" for k, v in needed.items())])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def afterwards(server_version: int) -> str:
    """The settings that are made once the session is open, in one statement.

    The replication role is set only if it has another value, for this needs a privilege, and preflight has to name its
    lack. The format of money is set here, so that its default can still be seen in ``pg_settings.reset_val``: streams
    use that.
    """
    calls = [
        "set_config('lc_monetary', 'C', false)",
        "CASE WHEN current_setting('session_replication_role') <> 'origin' "
        "THEN set_config('session_replication_role', 'origin', false) END",
    ]
    if server_version >= 170000:
        calls.append("set_config('transaction_timeout', '0', false)")
    return f"SELECT {', '.join(calls)}"
