"""`timelab model`: which models are here, by digest, and which of them a spec would get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, repo_path, start_directory
from timelab.errors import ModelMismatch, NotFound, ProviderError, UsageError

if TYPE_CHECKING:
    from timelab.providers.base import ModelInfo
    from timelab.providers.cascade import Entry, Router, Wanted
    from timelab.views import ChoiceView, ModelChoices, ModelView


@click.group()
def command() -> None:
    """Say which models are here, by digest, and what a spec would get."""


@command.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the models that are here, with the digests of their weights.

    A spec pins one as `provider:name@sha256:…`. Servers on other machines are not asked.
    """
    from timelab.cli import render
    from timelab.errors import TimelabError
    from timelab.views import ModelsView, Silent

    router = _router()
    found: list[ModelView] = []
    silent: list[Silent] = []
    for entry in router.entries:
        if entry.leaves:
            silent.append(Silent(entry.name, "on another machine: not asked"))
            continue
        try:
            found += [_view(entry, info) for info in router.provider(entry).models()]
        except TimelabError as error:
            silent.append(Silent(entry.name, router.clean(_line(error))))
    if as_json:
        render.emit_json(ModelsView(tuple(found), tuple(silent)))
        return
    rows = [(render.plain(each.name), each.provider, each.hash or "-", _facts(each)) for each in found]
    render.lines(render.table(rows, ("MODEL", "PROVIDER", "WEIGHTS", "")))
    for missing in silent:
        name = f"{missing.provider}: "
        render.talk(f"timelab: {name}{render.plain(missing.reason.removeprefix(name))}")


@command.command()
@click.argument("asked", metavar="SPEC | NAME")
@json_option
def show(asked: str, as_json: bool) -> int:
    """Say what SPEC, or a model's NAME, would get now.

    That is every choice in order, with the reason where it does not fit, and then the first that does.

    \b
    Exit code: 0 something answers, 65 the pinned weights are others, 70 nothing does.
    """
    from timelab.cli import render

    view, code = _choices(_router(), asked)
    if as_json:
        render.emit_json(view)
        return code
    for choice in view.choices:
        word = render.word("ok") if choice.fits else render.word("cannot")
        said = render.plain(choice.reason or (choice.model.hash if choice.model else None) or "unknown weights")
        render.out(f"{word}  {render.plain(choice.asked)}  {choice.provider}  {said}")
    if view.gets is None:
        render.talk("timelab: nothing here answers for it")
        return code
    instead = "  instead of the model that is named first" if view.degraded else ""
    render.out(f"\n{render.plain(view.gets.name)} on {view.gets.provider}{instead}")
    rows = [("  weights", view.gets.hash or "unknown"), ("  exact", _exactness(view.gets))]
    rows += [(f"  {name}", render.plain(value)) for name, value in sorted(view.gets.details.items())]
    render.lines(render.table(rows))
    return code


@command.command()
@click.argument("name", metavar="NAME")
@json_option
def pull(name: str, as_json: bool) -> int:
    """Fetch a model, and print it with the digest of its weights.

    Only Ollama fetches models. It does so over the network, from the registry that NAME says.
    """
    from timelab.cli import render

    router = _router()
    entries = router.serving(name)
    if not entries:
        raise NotFound(f"no provider for {name}", hint=f"one of: {', '.join(_kinds(router))}, then ':' and the model")
    entry = entries[0]
    if entry.kind == "ollama":
        _pull(entry, name)
    try:
        info = router.provider(entry).describe(name)
    except ProviderError as error:
        hint = (
            error.hint if entry.kind == "ollama" else f"{entry.kind} fetches no models; {error.hint or ''}".rstrip("; ")
        )
        raise ProviderError(router.clean(error.message), hint=router.clean(hint or "")) from error
    view = _view(entry, info)
    if as_json:
        render.emit_json(view)
    else:
        render.out(f"{render.plain(view.name)}@{view.hash}" if view.hash else render.plain(view.name))
    return 0


def _pull(entry: Entry, name: str) -> None:
    """Fetches with Ollama, with a line of progress where somebody looks."""
    from timelab.cli.progress import Progress
    from timelab.cli.provider_table import address_for
    from timelab.cli.router import surroundings
    from timelab.providers.pulling import pull_from_ollama

    here = surroundings()
    progress = Progress()
    try:
        pull_from_ollama(address_for(here.settings, entry.name, here.environ), name.partition(":")[2], progress)
    finally:
        progress.clear()


def _router() -> Router:
    from timelab.cli.router import surroundings

    return surroundings().router


def _kinds(router: Router) -> list[str]:
    return list(dict.fromkeys(entry.kind for entry in router.entries))


def _line(error: Exception) -> str:
    message, hint = getattr(error, "message", str(error)), getattr(error, "hint", None)
    return f"{message}; {hint}" if hint else str(message)


def _view(entry: Entry, info: ModelInfo) -> ModelView:
    from timelab.views import ModelView

    return ModelView(info.name, entry.name, info.hash, info.deterministic, info.exact_on_request, dict(info.details))


def _facts(view: ModelView) -> str:
    wanted = ("parameters", "quantization", "engine_version")
    return " ".join(view.details[name] for name in wanted if name in view.details)


def _exactness(view: ModelView) -> str:
    if view.deterministic:
        return "always"
    return "if the spec says determinism: exact" if view.exact_on_request else "no"


def _choices(router: Router, asked: str) -> tuple[ModelChoices, int]:
    """Returns what would be tried, and the exit code that says how it ends."""
    from timelab.views import ChoiceView, ModelChoices

    wanted = _wanted(router, asked)
    choices: list[ChoiceView] = []
    gets: ChoiceView | None = None
    is_mismatch = False
    for rank, named in enumerate(wanted.models):
        entries = router.serving(named)
        if not entries:
            choices.append(ChoiceView(named, named.partition(":")[0], False, None, "no such provider"))
        others = [_choice(router, entry, wanted, rank) for entry in entries]
        choices += [choice for choice, _ in others]
        gets = gets or next((choice for choice, _ in others if choice.fits), None)
        if gets is None and any(is_other for _, is_other in others):
            # Nothing takes the place of weights that are pinned and are not those (design 6).
            is_mismatch = True
            break
    code = ModelMismatch.exit_code if is_mismatch else ProviderError.exit_code if gets is None else 0
    model = gets.model if gets is not None else None
    return ModelChoices(asked, model, gets is not None and gets.asked != wanted.models[0], tuple(choices)), code


def _choice(router: Router, entry: Entry, wanted: Wanted, rank: int) -> tuple[ChoiceView, bool]:
    """Returns what one provider has for a model, and whether it is there with other weights than the pinned ones."""
    from timelab.errors import TimelabError
    from timelab.providers.cascade import pin_of
    from timelab.views import ChoiceView

    named = wanted.models[rank]
    model, pin = pin_of(named)
    reason = _left_alone(router, entry)
    if entry.leaves and not wanted.allow_net:
        reason = "on another machine: the spec must say allow_net: true"
    if reason is not None:
        return ChoiceView(named, entry.name, False, None, reason), False
    try:
        info = router.provider(entry).describe(model)
        dropped = sorted(router.provider(entry).dropped_params & wanted.params)
    except TimelabError as error:
        return ChoiceView(named, entry.name, False, None, router.clean(_line(error))), False
    is_other = pin is not None and info.hash != pin
    if is_other:
        reason = f"is {info.hash or 'of unknown weights'}, not the pinned {pin}"
    elif wanted.exact and not (info.deterministic or info.exact_on_request):
        reason = "cannot promise the exact answer that the spec asks for"
    elif dropped:
        reason = f"cannot express {dropped[0]}"
    return ChoiceView(named, entry.name, reason is None, _view(entry, info), reason), is_other


def _left_alone(router: Router, entry: Entry) -> str | None:
    from timelab.providers.breaker import state_of
    from timelab.providers.state import Known

    breaker = router.state.read().get(entry.name, Known()).breaker
    if state_of(breaker, router.clock.now().timestamp(), router.state.policy) != "open":
        return None
    return f"left alone after {breaker.failures} failures in a row ({breaker.reason})"


def _wanted(router: Router, asked: str) -> Wanted:
    """Returns what a spec allows; a name is a spec of one model that may use the network."""
    from timelab.providers.cascade import Wanted

    path = start_directory() / asked
    if not path.is_file():
        if asked.partition(":")[0] in _kinds(router) and ":" in asked:
            return Wanted((asked,), allow_net=True)
        raise NotFound(f"neither a spec nor a model: {asked}", hint="a model is provider:name; see timelab model list")
    from timelab.spec.load import load_spec
    from timelab.spec.model import LlmSpec

    spec = load_spec(path.read_bytes(), repo_path(current_repo(), asked) or asked, given_by_hand=True).spec
    if not isinstance(spec, LlmSpec):
        raise UsageError(f"{asked} asks no model: it is of kind {spec.kind}")
    params = frozenset(spec.params.model_dump(exclude_none=True))
    return Wanted((spec.model, *spec.fallback), params, spec.determinism == "exact", spec.allow_net)
