"""Development only: an operator key, a small demo of all features, and curl commands to paste."""

import json
from pathlib import Path
from uuid import UUID

from app.agreements.publishing import documents, texts, versions
from app.agreements.publishing.schemas import AgreementIn, TextIn, VersionIn
from app.api_keys import service as api_keys
from app.catalog import service as catalog
from app.catalog.problems import ProductNotFound
from app.catalog.schemas import PolicyIn, ProductIn, RequirementName
from app.events.service import Actor
from app.licenses.issuing import service as licenses
from app.licenses.issuing.schemas import LicenseIn
from app.licenses.seats import codes
from app.login.account import creation as login
from app.login.signing_in.schemas import UserIn
from app.world import World

PRODUCT = "studio"
EMAIL = "kari@example.com"
TEXTS = {
    "en": TextIn(
        title="Studio end user license agreement",
        body="# Studio\n\nYou may use Studio on the devices your license covers. There is no warranty.\n",
        summary="Use it on your devices; no warranty.",
        statement="I have read the agreement and accept it.",
        accept_label="Accept",
        decline_label="Decline",
    ),
    "nb": TextIn(
        title="Sluttbrukeravtale for Studio",
        body="# Studio\n\nDu kan bruke Studio på enhetene lisensen din dekker. Det gis ingen garanti.\n",
        summary="Bruk det på enhetene dine; ingen garanti.",
        statement="Jeg har lest avtalen og godtar den.",
        accept_label="Godta",
        decline_label="Avslå",
    ),
    "ru": TextIn(
        title="Лицензионное соглашение Studio",
        body="# Studio\n\nВы можете использовать Studio на устройствах, на которые распространяется ваша лицензия. Гарантий нет.\n",
        summary="Пользуйтесь на своих устройствах; гарантий нет.",
        statement="Я прочитал соглашение и принимаю его.",
        accept_label="Принять",
        decline_label="Отклонить",
    ),
    "zh-Hans": TextIn(
        title="Studio 最终用户许可协议",
        body="# Studio\n\n您可以在许可证涵盖的设备上使用 Studio。本软件不提供任何担保。\n",
        summary="可在您的设备上使用；无担保。",
        statement="我已阅读并接受本协议。",
        accept_label="接受",
        decline_label="拒绝",
    ),
}


async def prepare_and_describe(world: World, *, seed: bool) -> str:
    """Create an operator key (and the demo data) if needed, and return the addresses and curl commands to print."""
    key_path = await _ensure_operator_key(world)
    base = world.settings.public_url
    lines = [f"Licentia      {base}", f"API docs      {base}/docs", f"operator key  {key_path}"]
    return "\n".join(lines) + "\n" + (await _ensure_demo(world, key_path) if seed else "")


async def _ensure_operator_key(world: World) -> Path:
    """Return the file with a valid key. Creates a key if there is none, or if the database is new."""
    path = world.settings.var / "operator.key"
    if path.exists() and await api_keys.authenticate(world, path.read_text(encoding="ascii").strip()) is not None:
        return path
    _, key = await api_keys.create_key(world, None, "first operator", ["*"])
    _write_private(path, key)
    return path


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text + "\n", encoding="utf-8")


async def _ensure_demo(world: World, key_path: Path) -> str:
    path = world.settings.var / "demo.txt"
    try:
        await catalog.get_product(world, PRODUCT)
    except ProductNotFound:
        _write_private(path, await _create_demo(world, key_path))
    return (
        path.read_text(encoding="utf-8")
        if path.exists()
        else f"The product {PRODUCT} already exists; its keys were shown once and cannot be shown again.\n"
    )


async def _create_demo(world: World, key_path: Path) -> str:
    actor = Actor.system()
    requires: list[RequirementName] = ["license", "activation", "login", "second_factor", "eula"]
    await catalog.create_product(world, actor, ProductIn(code=PRODUCT, name="Studio", requires=requires).model_dump())
    policy = await catalog.create_policy(
        world, actor, PolicyIn(product=PRODUCT, name="Three devices, a year", seat_by="device", max_seats=3, duration="P1Y").model_dump()
    )
    (license,), (key,) = await licenses.issue_licenses(world, actor, LicenseIn(policy_id=policy.id).to_values())
    ((_, code),) = await codes.create_codes(world, actor, license.row.id, count=1, max_uses=1, expires_at=None)
    password = world.entropy.secret("")[:24]
    user = UserIn(email=EMAIL, email_verified=True, locale="nb", password=password)
    await login.create_user(world, actor, user.to_profile(), password)
    await _publish_agreement(world, actor)
    return _list_commands(world.settings.public_url, key_path, key, code, password, license.row.id)


async def _publish_agreement(world: World, actor: Actor) -> None:
    document = await documents.create_document(world, actor, AgreementIn(product=PRODUCT, name="Studio EULA").model_dump())
    draft = await versions.create_draft(world, actor, document.row.id, VersionIn(change_class="material", label="1").model_dump())
    version_id: UUID = draft.versions[0].id
    for locale, text in TEXTS.items():
        await texts.write_text(world, actor, version_id, locale, text.model_dump())
    await versions.publish_version(world, actor, version_id, None, None)


def _list_commands(base: str, key_path: Path, key: str, code: str, password: str, license_id: UUID) -> str:
    """Return commands to paste. They need only curl."""
    login_body = json.dumps({"identifier": EMAIL, "password": password})
    activation = json.dumps({"activation_code": code, "device": {"fingerprint": "my-laptop"}})
    access = json.dumps({"product": PRODUCT, "license_key": key, "device": {"fingerprint": "my-laptop"}})
    check = json.dumps({"product": PRODUCT, "license_key": key})
    operator = f'-H "Authorization: Bearer $(cat {key_path})"'
    return "\n".join(
        [
            "",
            f"The demo: product {PRODUCT}, a license for three devices, the end user {EMAIL}. Paste these commands into another terminal:",
            "",
            f"curl -s {base}/v1/licenses/validate -d '{check}'",
            f"curl -s {base}/v1/access -d '{access}'",
            f"curl -s {base}/v1/activations -d '{activation}'",
            f"curl -s {base}/v1/login -d '{login_body}'",
            f"curl -s {operator} {base}/v1/licenses/{license_id}/activations",
        ]
    )
