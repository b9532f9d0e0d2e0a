"""Lists: newest first, cursors that stay right while rows are added, cursors of other lists refused."""

from tests.assertions import problem
from tests.given import Given


async def test_pages_stay_right_while_rows_are_added(given: Given) -> None:
    names = [(await given.product())["code"] for _ in range(5)]
    page = given.expect(await given.client.get("/v1/products?limit=2", headers=given.root))
    seen = [row["code"] for row in page["data"]]
    await given.product()
    while page["next_cursor"]:
        page = given.expect(await given.client.get(f"/v1/products?limit=2&cursor={page['next_cursor']}", headers=given.root))
        seen += [row["code"] for row in page["data"]]
    assert seen == names[::-1]


async def test_a_cursor_of_another_list_is_refused(given: Given) -> None:
    for _ in range(2):
        await given.product()
    page = given.expect(await given.client.get("/v1/products?limit=1", headers=given.root))
    answer = await given.client.get(f"/v1/customers?cursor={page['next_cursor']}", headers=given.root)
    listing = problem(answer, 422, "malformed")
    assert listing["errors"] == [{"pointer": "query:cursor", "code": "invalid_cursor", "detail": "must be a `next_cursor` of this list"}]
