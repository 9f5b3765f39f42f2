"""The pages of clusters: all with the state of their agents, a new one, and one in detail.

Owns these handlers. What a cluster may be is decided by `clusters/`; a refusal on a cluster is
written to the log there, too. A token is shown once, in the answer to the form that made it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from radar_audit_events.errors import FieldError

from radar_audit_hub.auth.principal import MEMBER, OWNER
from radar_audit_hub.clusters import handlers as clusters
from radar_audit_hub.clusters.guard import DENIED, privileged
from radar_audit_hub.context import HUB
from radar_audit_hub.declarations import declare
from radar_audit_hub.errors import HubError, InvalidBodyError
from radar_audit_hub.web.forms import Form, as_document, read_form
from radar_audit_hub.web.rendering import page, see_other
from radar_audit_hub.web.visits import OrgVisit, org_visit

from .answering import REFUSED, refusal
from .installing import installing

_PAGE = "/orgs/{org_id}/clusters"
_NEW = _PAGE + "/new"
_ONE = _PAGE + "/{cluster_id}"
_ENVIRONMENTS = ("production", "staging", "development")


async def show_all(request: web.Request) -> web.Response:
    """Show the organization's clusters."""
    visit = await org_visit(request)
    found = await clusters.listed(request, visit.caller)
    return page(
        request,
        "settings/clusters.html",
        clusters=found["clusters"],
        next_cursor=found["next_cursor"],
        may_add=visit.caller.role in (OWNER, MEMBER),
    )


async def show_new(request: web.Request) -> web.Response:
    """Show the form of a new cluster."""
    await org_visit(request, OWNER, MEMBER)
    return _new_page(request)


def _new_page(
    request: web.Request, error: HubError | None = None, form: Form | None = None
) -> web.Response:
    status, mistakes = refusal(error)
    return page(
        request,
        "settings/new_cluster.html",
        status=status,
        mistakes=mistakes,
        typed=_typed(form, {}),
        environments=_ENVIRONMENTS,
    )


async def add(request: web.Request) -> web.Response:
    """Connect a cluster; the answer shows its token and the command to install with it, once."""
    form = await read_form(request)
    visit = await org_visit(request, OWNER, MEMBER)
    try:
        made = await clusters.add(request, visit.caller, as_document(_asked(form), clusters.NEW))
    except REFUSED as error:
        return _new_page(request, error, form)
    return _one_page(request, visit, made, token=made["token"])


async def show(request: web.Request) -> web.Response:
    """Show one cluster with its collectors."""
    visit = await org_visit(request)
    return _one_page(request, visit, await clusters.load(request, visit.caller))


def _one_page(
    request: web.Request,
    visit: OrgVisit,
    cluster: dict[str, Any],
    *,
    token: str | None = None,
    error: HubError | None = None,
    form: Form | None = None,
) -> web.Response:
    status, mistakes = refusal(error)
    return page(
        request,
        "settings/cluster.html",
        status=status,
        mistakes=mistakes,
        cluster=cluster,
        token=token,
        installing=installing(request.app[HUB].settings, cluster["id"]),
        typed=_typed(form, cluster),
        environments=_ENVIRONMENTS,
        may_change=visit.caller.role == OWNER,
        may_install=visit.caller.role in (OWNER, MEMBER),
    )


def _typed(form: Form | None, cluster: dict[str, Any]) -> dict[str, str]:
    if form is not None:
        return {name: form.text(name) for name in ("name", "environment", "labels")}
    labels = cluster.get("labels", {})
    return {
        "name": cluster.get("name", ""),
        "environment": cluster.get("environment", ""),
        "labels": "\n".join(f"{key}={value}" for key, value in labels.items()),
    }


def _asked(form: Form) -> dict[str, Any]:
    return {
        "name": form.text("name"),
        "environment": form.text("environment"),
        "labels": _labels(form.text("labels")),
    }


def _labels(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not line.strip():
            continue
        if not equals:
            raise InvalidBodyError([FieldError("labels", "must be lines such as team=payments")])
        found[key.strip()] = value.strip()
    return found


async def change(request: web.Request) -> web.Response:
    """Change name, environment or labels."""
    form = await read_form(request)
    visit = await org_visit(request)
    async with privileged(request, "cluster.update", OWNER) as caller:
        try:
            asked = as_document(_asked(form), clusters.PATCH)
            await clusters.update(request, caller, asked)
        except REFUSED as error:
            cluster = await clusters.load(request, caller)
            return _one_page(request, visit, cluster, error=error, form=form)
    return see_other(request, _address(request), "saved")


async def rotate(request: web.Request) -> web.Response:
    """Replace the cluster's token; the answer shows the new one once."""
    await read_form(request)
    visit = await org_visit(request)
    async with privileged(request, "cluster.rotate_token", OWNER) as caller:
        made = await clusters.new_cluster_token(request, caller)
        cluster = await clusters.load(request, caller)
    return _one_page(request, visit, cluster, token=made["token"])


async def upgrade(request: web.Request) -> web.Response:
    """Ask the cluster's agents for a version."""
    form = await read_form(request)
    visit = await org_visit(request)
    async with privileged(request, "cluster.upgrade_agent", OWNER) as caller:
        try:
            asked = as_document({"version": form.text("version")}, clusters.UPGRADE)
            await clusters.request_upgrade(request, caller, asked)
        except REFUSED as error:
            cluster = await clusters.load(request, caller)
            return _one_page(request, visit, cluster, error=error)
    return see_other(request, _address(request), "upgrade_asked")


async def delete(request: web.Request) -> web.Response:
    """Remove the cluster, if its name was typed."""
    form = await read_form(request)
    visit = await org_visit(request)
    async with privileged(request, "cluster.delete", OWNER) as caller:
        cluster = await clusters.load(request, caller)
        if form.text("confirm") != cluster["name"]:
            message = "must be the cluster's name, exactly as it is written above"
            wrong = InvalidBodyError([FieldError("confirm", message)])
            return _one_page(request, visit, cluster, error=wrong)
        await clusters.delete(request, caller)
    return see_other(request, f"/orgs/{visit.caller.org_id}/clusters", "cluster_deleted")


def _address(request: web.Request) -> str:
    names = request.match_info
    return f"/orgs/{names['org_id']}/clusters/{names['cluster_id']}"


def routes() -> list[web.RouteDef]:
    """Return the pages' routes."""
    return [
        web.get(_PAGE, show_all, allow_head=False),
        web.get(_NEW, show_new, allow_head=False),
        declare(web.post(_NEW, add), events=(clusters.CREATED,)),
        web.get(_ONE, show, allow_head=False),
        declare(web.post(_ONE, change), events=(clusters.UPDATED, DENIED)),
        declare(web.post(f"{_ONE}/rotate-token", rotate), events=(clusters.ROTATED, DENIED)),
        declare(web.post(f"{_ONE}/upgrade", upgrade), events=(clusters.UPGRADE_REQUESTED, DENIED)),
        declare(web.post(f"{_ONE}/delete", delete), events=(clusters.DELETED, DENIED)),
    ]
