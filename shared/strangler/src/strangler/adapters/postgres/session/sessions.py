"""What a session of the tool says of itself, so that nothing that a database or a role has set changes what it does.

Note "nothing inherited": ALTER DATABASE and ALTER ROLE ... SET, PGOPTIONS and the server's own file give a session a
search path, an isolation level, a role, formats. A startup option wins over all of them, so all that matters is said
there. What needs a privilege, or is not known to every version, is said afterwards.
"""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

# Nothing that others can make is found by a bare name, and no policy takes rows away without an error.
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
# The server's own view of a vanished client: it would else keep its locks for hours, and finish its statement.
SOON_MISSED = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "2000",
    "client_connection_check_interval": "1000",
}
# What an administrator has set for applications would end a long copy, or the export of its snapshot.
UNHURRIED = {"statement_timeout": "0", "lock_timeout": "0", "idle_session_timeout": "0"}


def options(dsn: str, *, idle_ms: int) -> str:
    """The startup options of a session at ``dsn``: whatever the address itself asks for, and what we need after it.

    Of two that say the same the later wins, so an address can choose a role, and no search path.
    """
    needed = {**OWN_EYES, **SAME_TEXT, **SOON_MISSED, **UNHURRIED}
    needed["idle_in_transaction_session_timeout"] = str(idle_ms)
    own = str(conninfo_to_dict(dsn).get("options") or "")
    return " ".join(["-c role=none", *([own] if own else []), *(f"-c {k}={_escaped(v)}" for k, v in needed.items())])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def afterwards(server_version: int) -> str:
    """What is said once the session is open, in one statement.

    The replication role only where it is not so, for it needs a privilege whose lack preflight is to name. And the
    format of money, so that its default stays to be seen in ``pg_settings.reset_val``: streams go by that.
    """
    calls = [
        "set_config('lc_monetary', 'C', false)",
        "CASE WHEN current_setting('session_replication_role') <> 'origin' "
        "THEN set_config('session_replication_role', 'origin', false) END",
    ]
    if server_version >= 170000:
        calls.append("set_config('transaction_timeout', '0', false)")
    return f"SELECT {', '.join(calls)}"
