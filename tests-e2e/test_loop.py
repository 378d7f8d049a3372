"""A command changes the write model, and the query service shows it."""

from uuid import UUID

from blackbox.customers import Customers, a_customer, version_of
from blackbox.feed import Feed


async def test_a_registered_customer_is_read_at_the_version_that_the_command_gave(customers: Customers) -> None:
    body = a_customer(type="company")
    answer = await customers.send("POST", "/v1/customers", body)
    assert answer.status_code == 201
    told = answer.json()
    assert told == {"id": str(UUID(told["id"])), "version": 1}
    assert UUID(told["id"]).version == 7
    assert answer.headers["Location"] == f"/v1/customers/{told['id']}"
    assert answer.headers["ETag"] == '"1"'

    shown = await customers.get(UUID(told["id"]), at_least=1)
    assert shown.status_code == 200
    assert shown.headers["Content-Type"] == "application/json"
    assert shown.headers["ETag"] == '"1"'
    document = shown.json()
    assert document["createdAt"] == document["updatedAt"]
    assert document == {
        **told,
        **body,
        "status": "active",
        "createdAt": document["createdAt"],
        "updatedAt": document["updatedAt"],
    }


async def test_a_customer_needs_no_email(customers: Customers) -> None:
    without = await customers.register(email=None)
    assert "email" not in await customers.read(without)


async def test_surrounding_spaces_are_trimmed(customers: Customers) -> None:
    email = a_customer()["email"]
    registered = await customers.register(name="  Ana Souza ", email=f" {email} ")
    document = await customers.read(registered)
    assert (document["name"], document["email"]) == ("Ana Souza", email)


async def test_a_name_in_any_script_is_kept_as_it_is(customers: Customers) -> None:
    name = "José 山田 Ñandú 👩‍💻 O'Brien-نجيب"
    assert (await customers.read(await customers.register(name=name)))["name"] == name


async def test_a_patch_of_one_field_is_one_version(customers: Customers) -> None:
    registered = await customers.register()
    renamed = await customers.patch(registered, name="Another Name")
    assert renamed.version == 2
    assert (await customers.read(renamed))["name"] == "Another Name"


async def test_a_patch_of_two_fields_is_two_versions_at_once(customers: Customers, feed: Feed) -> None:
    registered = await customers.register()
    before = await feed.head()
    email = a_customer()["email"]
    changed = await customers.patch(registered, name="Another Name", email=email)
    assert changed.version == 3
    document = await customers.read(changed)
    assert (document["name"], document["email"]) == ("Another Name", email)
    assert [recorded.version for recorded in await feed.read(before)] == [2, 3]


async def test_null_removes_the_email_and_frees_it_for_others(customers: Customers) -> None:
    email = a_customer()["email"]
    removed = await customers.patch(await customers.register(email=email), email=None)
    assert "email" not in await customers.read(removed)
    await customers.register(email=email)


async def test_an_archived_customer_can_be_read_and_restored(customers: Customers) -> None:
    archived = await customers.archive(await customers.register())
    assert archived.version == 2
    assert (await customers.read(archived))["status"] == "archived"
    restored = await customers.restore(archived)
    assert restored.version == 3
    assert (await customers.read(restored))["status"] == "active"


async def test_a_command_that_changes_nothing_records_nothing(customers: Customers, feed: Feed) -> None:
    body = a_customer()
    registered = await customers.register(**body)
    before = await feed.head()

    assert await customers.patch(registered, name=body["name"], email=body["email"]) == registered
    assert await customers.patch(registered) == registered
    assert await customers.restore(registered) == registered
    assert await feed.head() == before

    archived = await customers.archive(registered)
    assert await customers.archive(archived) == archived
    assert await feed.head() == before + 1


async def test_an_archived_customer_takes_no_changes(customers: Customers, feed: Feed) -> None:
    archived = await customers.archive(await customers.register())
    before = await feed.head()
    answer = await customers.send("PATCH", archived.path, {"name": "Too Late"}, if_match=archived.etag)
    assert (answer.status_code, answer.json()["code"]) == (409, "customer-archived")
    assert await feed.head() == before


async def test_head_answers_as_get_does_without_a_body(customers: Customers) -> None:
    registered = await customers.register()
    got = await customers.get(registered, at_least=1)
    headed = await customers.get(registered, method="HEAD")
    assert headed.status_code == 200
    assert headed.content == b""
    for header in ("ETag", "Content-Type", "Content-Length", "Cache-Control"):
        assert headed.headers[header] == got.headers[header]
    assert version_of(headed) == 1
