"""``strangler secrets``: what a stack in containers keeps to itself, made once."""

from __future__ import annotations

from pathlib import Path

import click

from strangler.adapters import toml
from strangler.adapters.secrets import cluster, folder, fresh
from strangler.domain.credentials import Hosts, credentials

EPILOG = """\b
Examples:
  strangler secrets --to /run/secrets
  strangler secrets --kubernetes
  strangler secrets --kubernetes --database-host 'db-{name}.example' --broker-host mq.example

In the folder each Secret is a folder and each key a file: application/NAME for each of [secrets],
database-NAME/{username,password,url} for each database that has url_env, broker/{username,password,url,rabbitmq.conf}.
Everybody who can see the folder can read it. Can be run again and again, and by several at once.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--to", "directory", type=click.Path(path_type=Path, file_okay=False), help="Write files into this folder."
)
@click.option("--kubernetes", is_flag=True, help="Create Secrets in the cluster and namespace that this pod runs in.")
@click.option(
    "--database-host",
    default=Hosts().database,
    show_default=True,
    help="Where databases are, with {name} for the database's.",
)
@click.option("--broker-host", default=Hosts().broker, show_default=True, help="Where the broker is.")
def command(*, directory: Path | None, kubernetes: bool, database_host: str, broker_host: str) -> None:
    """Makes the secrets of a stack in containers that are not there yet; what exists is never changed."""
    if (directory is not None) == kubernetes:
        raise click.UsageError("give either --to or --kubernetes")
    project = toml.load(addresses=False)
    wanted = credentials(project, Hosts(database_host, broker_host), fresh.make)
    made = cluster.here().create(wanted) if directory is None else folder.write(directory, wanted)
    any_made = False
    for name in made:
        any_made = True
        click.echo(f"made {name}")
    if not any_made:
        click.echo("nothing to make: all secrets are there")
