"""A published text over HTTP: exact bytes in every script (agreements R1), in each format with its hash (agreements R2)."""

from hashlib import sha256
from typing import Any

import pytest

from tests.agreements import making
from tests.agreements.making import TEXT, days_from_now, status_and_code
from tests.given import Given

TEXTS = {
    "nb": "# Vilkår\n\nDen som bruker *Studio*, må være snill: æøå ÆØÅ.\n",
    "ru": "# Условия\n\nПользователь обязуется быть добрым — ёлка, «кавычки».\n",
    "zh-Hans": "# 条款\n\n用户必须善良。龙、鱼、𠮷野家。\n",
    "zh-Hant": "# 條款\n\n使用者必須善良。龍、魚、葛󠄀城。\n",
    "ar": "# الشروط\n\nيجب أن يكون المستخدم لطيفًا: ١٢٣ (Studio\u200f)، بِسْمِ.\n",
    "hi": "# नियम\n\nउपयोगकर्ता को दयालु होना चाहिए: क्‍ष क्‌ष।\n",
    "yo": "# Àdéhùn\n\nẸ̀kọ́ ọ̀fẹ́ n̄ m̀ – zo\u0323\u0302ns e\u0301\u0327.\n",
    "vi": "# Điều khoản\n\nNgười dùng phải tử tế: ễ ợ ữ.\n",
    "th": "# ข้อกำหนด\n\nผู้ใช้ต้องมีน้ำใจ 👩\u200d🚀 🏴󠁧󠁢󠁥󠁮󠁧󠁿\n",
}
"""With supplementary planes, variation selectors, marks in either order, joiners and direction marks."""


async def get(given: Given, text: dict[str, Any], **headers: str) -> Any:
    chosen = {name.replace("_", "-"): value for name, value in headers.items()}
    return await given.client.get(f"/v1/agreement-texts/{text['id']}", headers=chosen)


async def in_all(given: Given, body: str | None = None) -> dict[str, dict[str, Any]]:
    """The texts of one published version, by language."""
    agreement = await making.create_agreement(given, default_locale="nb")
    draft = await making.create_version(given, agreement, "nb")
    for locale, text in TEXTS.items():
        given.expect(await making.put_text(given, draft, locale, {**TEXT, "body": body or text, "statement": text}))
    return {text["locale"]: text for text in given.expect(await making.publish(given, draft))["texts"]}


async def test_r1_every_script_byte_for_byte(given: Given) -> None:
    """Agreements R1: NFC over UTF-8, the hash over what comes over the wire, the statement as it was written."""
    for locale, text in (await in_all(given)).items():
        wanted = making.nfc(TEXTS[locale])
        answer = await get(given, text)
        assert answer.content == wanted.encode()
        assert answer.headers["content-language"] == locale
        assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()}"' == f'"{text["sha256"]}"'
        assert (text["body"], text["statement"]) == (wanted, TEXTS[locale])


async def test_r1_what_looks_the_same_is_the_same(given: Given) -> None:
    """Agreements R1: composed, decomposed, and with its marks in the other order: one hash."""
    draft = await making.create_version(given, await making.create_agreement(given))
    hashes = set()
    for body in ("Cafe\u0301 zo\u0302\u0323ns", "Caf\u00e9 zo\u0323\u0302ns\n", "Caf\u00e9 z\u1ed9ns\r\n"):
        hashes.add(given.expect(await making.put_text(given, draft, "en", {**TEXT, "body": body}))["sha256"])
    assert hashes == {sha256("Café zộns\n".encode()).hexdigest()}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "text/markdown"),
        ("*/*", "text/markdown"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/plain", "text/plain"),
        ("text/markdown;q=0.1, text/*;q=0.5, text/html;q=0", "text/plain"),
    ],
)
async def test_r2_in_the_form_that_is_asked_for(given: Given, accept: str | None, form: str) -> None:
    """Agreements R2, RFC 9110 section 12.5.1: the stored bytes of each format with their hash as `ETag`, so that caches keep them apart."""
    for locale, text in (await in_all(given)).items():
        answer = await get(given, text, **({"accept": accept} if accept else {"accept": ""}))
        column = {"text/markdown": "sha256", "text/html": "html_sha256", "text/plain": "plain_sha256"}[form]
        assert answer.headers["content-type"] == f"{form}; charset=utf-8"
        assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()}"' == f'"{text[column]}"'
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["content-language"] == locale
        assert making.nfc(TEXTS[locale]).splitlines()[0].removeprefix("# ") in answer.text


async def test_html_is_inert_in_a_browser(given: Given) -> None:
    """Content-Security-Policy stops active content that passes the sanitiser; no content sniffing."""
    text = (await in_all(given, "<script>alert(1)</script>\n\n[x](javascript:alert(1)) ![y](https://a.example/z.png)"))["ar"]
    answer = await get(given, text, accept="text/html")
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert 'href="javascript' not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert "sandbox" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text.startswith('<article lang="ar" dir="rtl">')
    plain = await get(given, text, accept="text/plain")
    assert "content-security-policy" not in plain.headers
    assert plain.headers["x-content-type-options"] == "nosniff"


async def test_a_form_that_is_had_already(given: Given) -> None:
    """RFC 9110 section 13.1.2: 304 for the tag of this format, with the text's headers; the tag of another format does not match."""
    text = (await in_all(given))["nb"]
    tags = {"text/markdown": text["sha256"], "text/html": text["html_sha256"], "text/plain": text["plain_sha256"]}
    assert len(set(tags.values())) == 3
    for form, own in tags.items():
        for other, tag in tags.items():
            answer = await get(given, text, accept=form, if_none_match=f'W/"{tag}"')
            assert answer.status_code == (304 if form == other else 200)
            assert answer.headers["etag"] == f'"{own}"'
            assert answer.headers["vary"] == "Accept"
            assert answer.headers["content-language"] == "nb"
            assert bool(answer.content) == (form != other)


@pytest.mark.parametrize("accept", ["application/json", "text/html;q=0, image/*", "text/markdown;variant=GFM"])
async def test_a_form_that_there_is_not(given: Given, accept: str) -> None:
    """406 with the forms that there are."""
    refused = await get(given, (await in_all(given))["nb"], accept=accept)
    assert status_and_code(refused) == (406, "not_acceptable")
    assert refused.json()["available"] == ["text/markdown", "text/html", "text/plain"]
    assert refused.headers["content-type"] == "application/problem+json"


async def test_a_cancelled_versions_text_stays_readable(given: Given) -> None:
    """It was public, so it stays readable. A draft's text is not public."""
    agreement = await making.create_agreement(given)
    created = await making.create_published(given, agreement, effective_at=days_from_now(given, 3))
    given.expect(await making.cancel(given, created))
    draft = (await making.read(given, f"/v1/agreement-versions/{(await making.create_version(given, agreement))['id']}"))["texts"][0]
    for accept in ("text/markdown", "text/html", "text/plain"):
        assert (await get(given, created["texts"][0], accept=accept)).status_code == 200
        assert status_and_code(await get(given, draft, accept=accept)) == (404, "agreement_text_not_found")


async def test_r2_a_text_with_hidden_words_is_not_taken(given: Given) -> None:
    draft = await given.post(f"/v1/agreements/{(await making.create_agreement(given))['id']}/versions", {"change_class": "material"})
    answer = await making.put_text(given, draft, "en", {**making.TEXT, "body": "> " * 70 + "You owe us a kidney."})
    assert making.status_and_code(answer) == (422, "malformed")
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [("/body", "words_not_shown")]
    assert "kidney" not in answer.text
