"""``strangler secrets``: makes the secrets of a stack in containers, once."""

from __future__ import annotations

from pathlib import Path

import click

from strangler.adapters import toml
from strangler.adapters.postgres.session import roles
from strangler.adapters.secrets import cluster, folder, fresh
from strangler.domain.credentials import Hosts, credentials
from strangler.domain.handing import handed_out, withdrawn

EPILOG = """\b
Examples:
  strangler secrets --to /run/secrets
  strangler secrets --to /run/kept --hand-out /run/handed
  strangler secrets --kubernetes
  strangler secrets --kubernetes --database-host 'db-{name}.example' --broker-host mq.example

In the folder each Secret is a folder and each key a file: application/NAME for each of [secrets]; for each database
that has url_env database-NAME (its superuser), app-NAME and mover-NAME, and agent-NAME where the ledger is, each with
username, password and url; broker and broker-NAME with the same; service-NAME with keys of one service alone.
Everybody who can see the folder can read it, so keep it to this command, and let each container mount what is handed
out to it: app-NAME, postgres-NAME, strangler, gateway, broker, initdb. Can be run again and again, and by several at
once.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--to", "directory", type=click.Path(path_type=Path, file_okay=False), help="Write files into this folder."
)
@click.option(
    "--hand-out",
    "handed",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write what each container needs into a folder of its own in this one; with --to.",
)
@click.option("--kubernetes", is_flag=True, help="Create Secrets in the cluster and namespace that this pod runs in.")
@click.option(
    "--database-host",
    default=Hosts().database,
    show_default=True,
    help="Where databases are, with {name} for the database's.",
)
@click.option("--broker-host", default=Hosts().broker, show_default=True, help="Where the broker is.")
def command(
    *, directory: Path | None, handed: Path | None, kubernetes: bool, database_host: str, broker_host: str
) -> None:
    """Makes the secrets of a stack in containers that are not there yet; what exists is never changed."""
    if (directory is not None) == kubernetes:
        raise click.UsageError("give either --to or --kubernetes")
    if handed is not None and directory is None:
        raise click.UsageError("--hand-out goes with --to")
    project = toml.load(addresses=False)
    wanted = credentials(project, Hosts(database_host, broker_host), fresh.make, fresh.public_key)
    made = cluster.here().create(wanted) if directory is None else folder.write(directory, wanted)
    any_made = False
    for name in made:
        any_made = True
        click.echo(f"made {name}")
    if not any_made:
        click.echo("nothing to make: all secrets are there")
    if directory is not None and handed is not None:
        values = {credential.name: folder.read(directory, credential) for credential in wanted}
        folder.hand_out(handed, {**handed_out(project, values), "initdb/roles.sh": roles.shell()}, withdrawn(project))
