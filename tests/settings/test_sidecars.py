"""Nonces in the files of sidecars: found as they are written there, and nowhere else."""

from pathlib import Path

import pytest

from kaged.settings.sidecars import copies, nonces_in

NONCE = "f3a91c0b7d5e4826b0c4d8e17a6f92035b8c1d4e7f609a3b2c5d8e1f4a7b0c3d"


@pytest.mark.parametrize(
    "line",
    [
        f"KAGED_AUTH_SIDECAR_NONCE={NONCE}",
        f'export KAGED_AUTH_SIDECAR_NONCE="{NONCE}"',
        f'proxy_set_header X-Kaged-Auth-Nonce "{NONCE}";',
        f"proxy_set_header X-Kaged-Auth-Nonce {NONCE};",
        f'RequestHeader set X-Kaged-Auth-Nonce "{NONCE}"',
        f"header_up X-Kaged-Auth-Nonce {NONCE}",
        f"http-request set-header X-Kaged-Auth-Nonce {NONCE}",
        f"x-kaged-auth-nonce: {NONCE}",
        f'"X-Kaged-Auth-Nonce": "{NONCE}"',
    ],
)
def test_values_are_found(line: str) -> None:
    assert nonces_in(f"before\n  {line}\nafter\n") == (NONCE,)


@pytest.mark.parametrize(
    "line",
    [
        "fromEnv: KAGED_AUTH_SIDECAR_NONCE",
        "header_up X-Kaged-Auth-Nonce {env.KAGED_AUTH_SIDECAR_NONCE}",
        'set-header X-Kaged-Auth-Nonce "%[env(KAGED_AUTH_SIDECAR_NONCE)]"',
        "RequestHeader set X-Kaged-Auth-Nonce ${KAGED_AUTH_SIDECAR_NONCE_OF_THE_SIDECAR}",
        "KAGED_AUTH_SIDECAR_NONCE=short",
        f"KAGED_AUTH_SIDECAR_NONCE_PREVIOUS={NONCE}",
    ],
)
def test_names_and_templates_are_none(line: str) -> None:
    assert nonces_in(f"{line}\n") == ()


def test_files_and_their_services(tmp_path: Path) -> None:
    def put(path: str, text: str) -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    env = put("etc/kaged/env", f"KAGED_AUTH_SIDECAR_NONCE={NONCE}\n")
    mine = put("etc/kaged/oauth2-proxy.env", f"KAGED_AUTH_SIDECAR_NONCE={NONCE}\n")
    shared = put("etc/kaged/sidecar.env", f"KAGED_AUTH_SIDECAR_NONCE={NONCE}\n")
    nginx = put("etc/nginx/sites-enabled/kaged", f"proxy_set_header X-Kaged-Auth-Nonce {NONCE};\n")
    put("etc/nginx/binary", "").write_bytes(b"X-Kaged-Auth-Nonce \xff\n")
    put("etc/nginx/large", f"X-Kaged-Auth-Nonce {NONCE}\n" + "#" * 300_000)
    put("etc/hosts", f"X-Kaged-Auth-Nonce {NONCE}\n")
    put("etc/systemd/system/kaged.service", f"EnvironmentFile={env}\nEnvironmentFile={shared}\n")
    found = copies(env, tmp_path)
    assert {(it.path, it.service) for it in found} == {(mine, "oauth2-proxy"), (shared, ""), (nginx, "nginx")}
    assert NONCE not in repr(found)
    put("usr/lib/systemd/system/door.service", f"EnvironmentFile=-{env}\nEnvironmentFile={shared}\n")
    found = copies(env, tmp_path)
    assert {(it.path, it.service, len(it.values)) for it in found} == {
        (mine, "oauth2-proxy", 1), (shared, "door", 1), (nginx, "nginx", 1), (env, "door", 0),
    }  # fmt: skip
    put("etc/systemd/system/caddy.service.d/kaged.conf", f"[Service]\nEnvironmentFile={env}\n")
    put("etc/systemd/system/kaged.service.d/more.conf", f"[Service]\nEnvironmentFile={env}\n")
    assert [it.service for it in copies(env, tmp_path) if it.path == env] == ["caddy door"]
    assert copies(tmp_path / "none" / "env", tmp_path / "nothing") == []
