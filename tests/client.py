"""Creates, reads, updates and deletes contacts with a client that is generated from /openapi.json; see tests/client."""

import sys
from http import HTTPStatus

from contacts_client import AuthenticatedClient, Client
from contacts_client.api.areas import list_areas
from contacts_client.api.contacts import create_contact, delete_contact, get_contact, list_contacts, replace_contact
from contacts_client.api.operations import get_operation
from contacts_client.models import (
    Accepted,
    AreaPage,
    Contact,
    ContactField,
    ContactInput,
    ContactPage,
    Operation,
    OperationStatus,
    PartialContactPage,
    Problem,
    ProblemType,
    Region,
    State,
)

WAIT = "wait=30"


def expect(answer, status, model):
    """Checks the status and the type of the parsed body, and returns the body."""
    assert answer.status_code == status, (answer.status_code, answer.content)
    assert model is None or isinstance(answer.parsed, model), (model, answer.parsed)
    return answer.parsed


def person(name, phone="(11) 98765-4321"):
    return ContactInput(name=name, phone=phone, email="ana@example.com")


def main(url, key):
    anonymous = Client(base_url=url)
    refused = expect(list_contacts.sync_detailed(client=anonymous), HTTPStatus.UNAUTHORIZED, Problem)
    assert refused.type_ == ProblemType.UNAUTHORIZED, refused

    client = AuthenticatedClient(base_url=url, token=key)

    # Create a contact and wait until it is applied. The repeated request gives the same contact.
    def create():
        return create_contact.sync_detailed(client=client, body=person("Ana Souza"), idempotency_key="k1", prefer=WAIT)

    answer = create()
    ana = expect(answer, HTTPStatus.CREATED, Contact)
    assert (ana.name, ana.phone, ana.ddd, ana.state, ana.region) == (
        "Ana Souza", "+5511987654321", 11, State.SP, Region.SUDESTE
    ), ana
    assert answer.headers["location"] == f"/contacts/{ana.id}", answer.headers
    assert answer.headers["etag"] == f'"{ana.version}"', answer.headers
    assert answer.headers["preference-applied"] == WAIT, answer.headers
    assert expect(create(), HTTPStatus.CREATED, Contact).id == ana.id

    # Create a contact without waiting, and read the operation until it is finished.
    answer = create_contact.sync_detailed(client=client, body=person("Bia Lima", "85 3456-7890"))
    accepted = expect(answer, HTTPStatus.ACCEPTED, Accepted)
    for _ in range(600):
        answer = get_operation.sync_detailed(client=client, id=accepted.operation_id)
        operation = expect(answer, HTTPStatus.OK, Operation)
        if operation.status != OperationStatus.PENDING:
            break
    assert operation.status == OperationStatus.APPLIED and operation.contact_id == accepted.contact_id, operation

    # An invalid value gives a field error.
    answer = create_contact.sync_detailed(client=client, body=person("Ana", "(20) 98765-4321"))
    problem = expect(answer, HTTPStatus.UNPROCESSABLE_ENTITY, Problem)
    assert [(error.field, error.code, error.pointer) for error in problem.errors] == [
        ("phone", "unknown_area_code", "/phone")
    ], problem
    portuguese = create_contact.sync_detailed(client=client, body=person(" "), accept_language="pt-BR")
    assert portuguese.headers["content-language"] == "pt-BR", portuguese

    # Read the contact, also with a conditional request.
    answer = get_contact.sync_detailed(client=client, id=ana.id)
    assert expect(answer, HTTPStatus.OK, Contact) == ana
    tag = answer.headers["etag"]
    expect(get_contact.sync_detailed(client=client, id=ana.id, if_none_match=tag), HTTPStatus.NOT_MODIFIED, None)

    # Read the list, page by page.
    names, cursor = [], {}
    while True:
        page = expect(list_contacts.sync_detailed(client=client, limit=1, **cursor), HTTPStatus.OK, ContactPage)
        names += [contact.name for contact in page.items]
        if page.next_ is None:
            break
        cursor = {"cursor": page.next_}
    assert sorted(names) == ["Ana Souza", "Bia Lima"], names
    found = expect(list_contacts.sync_detailed(client=client, q="ana", state=State.SP), HTTPStatus.OK, ContactPage)
    assert [contact.id for contact in found.items] == [ana.id], found
    fields = [ContactField.ID, ContactField.NAME]
    partial = expect(list_contacts.sync_detailed(client=client, fields=fields), HTTPStatus.OK, PartialContactPage)
    assert all(set(contact.to_dict()) == {"id", "name"} for contact in partial.items), partial

    # Update the contact, if no other client has updated it.
    def replace(name):
        return replace_contact.sync_detailed(
            client=client, id=ana.id, body=person(name), if_match=tag, prefer=WAIT
        )

    changed = expect(replace("Ana Lima"), HTTPStatus.OK, Contact)
    assert changed.name == "Ana Lima" and changed.version != ana.version, changed
    conflict = expect(replace("Nobody"), HTTPStatus.PRECONDITION_FAILED, Problem)
    assert conflict.type_ == ProblemType.VERSION_CONFLICT, conflict

    # Delete the contact.
    answer = delete_contact.sync_detailed(client=client, id=ana.id, if_match=f'"{changed.version}"', prefer=WAIT)
    expect(answer, HTTPStatus.NO_CONTENT, None)
    expect(get_contact.sync_detailed(client=client, id=ana.id), HTTPStatus.NOT_FOUND, Problem)

    areas = expect(list_areas.sync_detailed(client=client), HTTPStatus.OK, AreaPage)
    assert len(areas.items) == 67, len(areas.items)


main(*sys.argv[1:])
