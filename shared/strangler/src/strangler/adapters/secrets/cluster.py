"""Secrets of the Kubernetes cluster in which this process runs, by the rights of its service account."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import urllib3

from strangler.domain.credentials import Credential
from strangler.domain.errors import ConfigurationError, RefusedError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LABELS = {"app.kubernetes.io/managed-by": "strangler"}
# The API may be away until a control plane has come back; a Job that waits for it costs little.
TRIES = urllib3.Retry(total=5, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The API's address, and the folder with the account's ``token``, ``ca.crt`` and ``namespace``."""

    url: str
    account: Path

    def create(self, credentials: Iterable[Credential]) -> Iterator[str]:
        """Creates the Secrets that are missing and tells each; an existing Secret is left as it is.

        Raises:
            RefusedError: the account may not do this, or the API does not answer.
        """
        namespace, token = self._held("namespace"), self._held("token")
        pool = urllib3.PoolManager(
            ssl_context=self._context(),
            headers={"authorization": f"Bearer {token}", "accept": "application/json"},
            retries=TRIES,
            timeout=urllib3.Timeout(connect=5, read=30),
        )
        address = f"{self.url}/api/v1/namespaces/{namespace}/secrets"
        with pool:
            for credential in credentials:
                name = credential.name.replace("_", "-")  # names there follow the rules of host names
                if not self._exists(pool, f"{address}/{name}") and self._post(pool, address, name, credential.values()):
                    yield name

    def _context(self) -> ssl.SSLContext:
        path = self.account / "ca.crt"
        self._held("ca.crt")
        try:
            context = ssl.create_default_context(cafile=str(path))
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"holds no certificates: {error.reason}",
                place=str(path),
                remedy="run it in a pod with automountServiceAccountToken: true, or write files with --to",
                id="cluster-unreachable",
            ) from error
        # The certificate authorities of some clusters, such as EKS, lack extensions that Python 3.13 began to require.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def _exists(self, pool: urllib3.PoolManager, address: str) -> bool:
        status, reason = self._ask(pool, "GET", address)
        if status not in (200, 404):
            raise self._refusal(address, status, reason)
        return status == 200

    def _post(self, pool: urllib3.PoolManager, address: str, name: str, values: Mapping[str, str]) -> bool:
        """Whether it was created now; another process may have been quicker."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": LABELS},
            "type": "Opaque",
            "data": data,
        }
        status, reason = self._ask(pool, "POST", address, json.dumps(document))
        if status not in (201, 409):
            raise self._refusal(f"{address}/{name}", status, reason)
        return status == 201

    def _ask(self, pool: urllib3.PoolManager, method: str, address: str, body: str | None = None) -> tuple[int, str]:
        headers = {**pool.headers, "content-type": "application/json"}
        try:
            answer = pool.request(method, address, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            if isinstance(getattr(error, "reason", None), urllib3.exceptions.SSLError):
                raise RefusedError(
                    f"what answers there is not the cluster's API: {error}",
                    place=address,
                    remedy=f"see that {self.account / 'ca.crt'} is of the authority that its certificate is from",
                    id="cluster-unreachable",
                ) from error
            raise RefusedError(
                f"the cluster's API does not answer: {error}",
                place=address,
                remedy="see that a NetworkPolicy lets this pod reach it",
                id="cluster-unreachable",
            ) from error
        return answer.status, _reason(answer)

    def _refusal(self, place: str, status: int, reason: str) -> RefusedError:
        return RefusedError(
            f"the cluster's API answers {status}: {reason}",
            place=place,
            remedy="give the pod's service account a Role with the verbs get and create for secrets",
            id="cluster-unreachable",
        )

    def _held(self, name: str) -> str:
        try:
            return (self.account / name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(
                f"cannot be read: {error.strerror}",
                place=str(self.account / name),
                remedy="run it in a pod with automountServiceAccountToken: true, or write files with --to",
                id="cluster-unreachable",
            ) from error


def here(account: Path = ACCOUNT) -> Cluster:
    """The cluster in which this process runs.

    Raises:
        ConfigurationError: it runs in no cluster.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigurationError(
            "this is no pod of a cluster",
            place="KUBERNETES_SERVICE_HOST",
            remedy="run it in one, or write files with --to",
            id="cluster-unreachable",
        )
    return Cluster(f"https://{f'[{host}]' if ':' in host else host}:{port}", account)


def _reason(answer: urllib3.BaseHTTPResponse) -> str:
    """The message in the API's Status, or else the beginning of the answer."""
    try:
        return str(json.loads(answer.data)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.data[:200].decode(errors="replace")
