"""
How large a session is: the parts that a preset names, each as often as the object says, exact.

A pod template costs what its pods will cost once they are stored, see `pod_template`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import TypeVar

from webhook.kinds import field_values, pod_cost, pod_shared_gpu, session_fields
from webhook.kinds.evaluator import NO_DEFAULTS, PodDefaults, UncountableError
from webhook.kinds.field_values import FieldError, Found
from webhook.kinds.pod_cost import ContainerSize, PodSize
from webhook.kinds.pod_shapes import Pod, SharedGpuText
from webhook.kinds.pod_template import declared_size, future_pod, stored_size
from webhook.kinds.resource_lists import read_quantities
from webhook.kinds.session_fields import Scope, Steps, holds
from webhook.quota import resources
from webhook.quota.expressions import Expression, Number
from webhook.quota.field_paths import Each, Name, Path
from webhook.quota.objects import GPU_DEVICES_ANNOTATION, GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION
from webhook.quota.presets import NO_BOUND, Container, NamedResources, Part, ResourceSource
from webhook.quota.quantity import NANOS, Quantity
from webhook.quota.resources import Amounts

T = TypeVar("T")

_GPU_ANNOTATIONS = (GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION, GPU_DEVICES_ANNOTATION)
_GPU_PATHS = {key: Path(key, (Name(key),)) for key in _GPU_ANNOTATIONS}
_ANNOTATIONS = (Name("metadata"), Name("annotations"))
_NO_POD = PodSize((), (), {}, {}, {})


@dataclass(frozen=True, slots=True)
class PartSize:
    """
    One part of a session: its name and place, what one of its pods costs, and how many there are.

    `most` is how many there may be; None: as many as somebody asks for.
    """

    name: str
    where: str
    each: Amounts
    count: int
    most: int | None


def value_steps(part: Part) -> Iterator[Steps]:
    """Yield the steps from the object to every value that *part* reads."""
    start: Steps = () if part.each is None else part.each.steps
    yield start
    expressions = [each for each in (part.times, part.up_to) if each is not None]
    paths = [condition.field for condition in part.when] + [path for each in expressions for path in each.paths]
    yield from (_from(start, path) for path in paths)
    for container in (*part.containers, *part.init_containers):
        yield from _container_steps(container, start)
    if part.template is not None:
        annotations = (*_from(start, part.template), Name("metadata"), Name("annotations"))
        yield from ((*annotations, Name(key)) for key in _GPU_ANNOTATIONS)


def pod_spec_steps(part: Part) -> Iterator[Steps]:
    """Yield the steps from the object to the spec of the pods of *part*, if it has a template."""
    if part.template is not None:
        yield (*_from(() if part.each is None else part.each.steps, part.template), Name("spec"))


def _from(start: Steps, path: Path) -> Steps:
    return path.steps if path.is_from_root else (*start, *path.steps)


def _container_steps(container: Container, start: Steps) -> Iterator[Steps]:
    if container.each is not None:
        start = _from(start, container.each)
        yield start
    yield from (_from(start, condition.field) for condition in container.when)
    for source in (*container.requests, *container.limits):
        if isinstance(source, Path):
            yield (*_from(start, source), Each())
        elif isinstance(source, NamedResources):
            yield _from(start, source.path)
        else:
            yield from (_from(start, path) for field in source for path in field.amount.paths)


def sizes(parts: Iterable[Part], root: Scope, defaults: PodDefaults = NO_DEFAULTS) -> Iterator[PartSize]:
    """Yield the size of each part, for each item of a list that it goes through. Raises: UncountableError."""
    for part in parts:
        for scope in _scopes(part, root):
            count = _count(part, scope)
            yield PartSize(part.name, scope.where, _cost(part, scope, defaults), count, _most(part, scope, count))


def names_runtime_class(parts: Iterable[Part], root: Scope) -> bool:
    """Whether the template of any part names a RuntimeClass."""
    templates = ((part.template, scope) for part in parts if part.template is not None for scope in _scopes(part, root))
    specs = (spec for template, scope in templates for _, spec in scope.pod_spec(template))
    return any(spec is not None and bool(spec.runtime_class_name) for spec in specs)


def _scopes(part: Part | Container, scope: Scope) -> Iterator[Scope]:
    """Yield where *part* is: *scope* or the items of its list, if its conditions hold there."""
    for each in (scope,) if part.each is None else scope.scopes(part.each):
        if all(holds(condition, each) for condition in part.when):
            yield each


def total(counted: Iterable[tuple[PartSize, int]]) -> Amounts:
    """Return the sum over parts, each with how many of it there are."""
    amounts: Counter[str] = Counter()
    for part, number in counted:
        for name, amount in part.each:
            amounts[name] += int(amount) * number
    return tuple(sorted((name, amount) for name, amount in amounts.items() if amount))


def _count(part: Part, scope: Scope) -> int:
    if part.times is None:
        return 1
    value = part.times.value(lambda path: session_fields.count(scope, path))
    if value is None:
        absent = FieldError("absent, and the preset gives no default for it")
        raise UncountableError(_place(scope, part.times), absent)
    if value.denominator != 1:
        raise UncountableError(_place(scope, part.times), FieldError(f"{value} is no whole number"))
    return int(value)


def _most(part: Part, scope: Scope, count: int) -> int | None:
    """Return how many there may be, at least as many as there are."""
    if part.up_to is None:
        return count
    is_open = False

    def lookup(path: Path) -> Number | None:
        nonlocal is_open
        value = session_fields.count(scope, path)
        is_open = is_open or (value is not None and value >= NO_BOUND)
        return value

    value = part.up_to.value(lookup)
    return None if value is None or is_open else max(count, ceil(value))


def _cost(part: Part, scope: Scope, defaults: PodDefaults) -> Amounts:
    size, shared = _NO_POD, None
    if part.template is not None:
        shared = _shared_gpu(part.template, scope)
        if not (part.containers or part.init_containers):
            return _with_shared(_template_cost(part.template, scope, defaults), shared)
        size = _of_template(part.template, scope, lambda pod: declared_size(pod, defaults))
    size = replace(
        size,
        containers=(*size.containers, *_containers(part.containers, scope)),
        init_containers=(*size.init_containers, *_containers(part.init_containers, scope)),
    )
    charged = resources.amounts(pod_cost.charge(stored_size(size, defaults)))
    return _with_shared(charged, shared)


def _with_shared(charged: Amounts, shared: SharedGpuText | None) -> Amounts:
    return tuple(sorted((*charged, *pod_shared_gpu.amounts(shared)))) if shared is not None else charged


def _containers(containers: Iterable[Container], scope: Scope) -> Iterator[ContainerSize]:
    for container in containers:
        for each in _scopes(container, scope):
            yield ContainerSize(_listed(container.requests, each), _listed(container.limits, each))


def _template_cost(template: Path, scope: Scope, defaults: PodDefaults) -> Amounts:
    return _of_template(template, scope, lambda pod: future_pod(pod, defaults).amounts)


def _of_template(template: Path, scope: Scope, read: Callable[[Pod], T]) -> T:
    """Return what *read* returns for a pod of the template. Raises: UncountableError with its place in the object."""
    for where, spec in scope.pod_spec(template):
        if spec is not None:
            try:
                return read(Pod(spec=spec))
            except UncountableError as error:
                raise UncountableError(f"{where}{error.path.removeprefix('spec')}", error.cause) from error
    raise UncountableError(_place(scope, template), FieldError("there is no template of a pod, an object with spec"))


def _shared_gpu(template: Path, scope: Scope) -> SharedGpuText | None:
    texts: dict[str, str] = {}
    for place in scope.scopes(template):
        for written in place.after(_ANNOTATIONS):
            for key, path in _GPU_PATHS.items():
                texts.update((key, field_values.text(found)) for found in written.find(path))
    fraction, memory, devices = (texts.get(key) for key in _GPU_ANNOTATIONS)
    return None if fraction is None and memory is None else SharedGpuText(fraction, memory, devices)


def _listed(sources: Iterable[ResourceSource], scope: Scope) -> Mapping[str, Quantity]:
    """Return the amounts by resource name; the first of *sources* that has a name counts."""
    listed: dict[str, Quantity] = {}
    for source in sources:
        found: dict[str, Quantity] = {}
        if isinstance(source, Path):
            found = _map(source, scope)
        elif isinstance(source, NamedResources):
            names = Counter(_resource_name(each) for each in scope.find(source.path))
            found = {name: Quantity(number * NANOS) for name, number in names.items()}
        else:
            for field in source:
                value = field.amount.value(lambda path: session_fields.amount(scope, path))
                if value is not None:
                    found[field.name] = Quantity(ceil(value * NANOS))
        listed = {**found, **listed}
    return listed


def _resource_name(found: Found) -> str:
    name = field_values.text(found)
    if not resources.is_charged(name):
        raise UncountableError(found.where, FieldError(f"{name!r} is no resource of a container"))
    return name


def _map(source: Path, scope: Scope) -> dict[str, Quantity]:
    """Return the quantities of a map by resource name."""
    found: dict[str, Quantity] = {}
    for mapped in scope.scopes(source):
        if isinstance(mapped.value, dict):
            for name, raw in mapped.value.items():
                if bytes(raw) == b"null":
                    raise UncountableError(f"{mapped.where}.{name}", FieldError("expected a quantity, not null"))
            found.update(read_quantities(mapped.value, mapped.where) or {})
        else:
            raise UncountableError(mapped.where, FieldError("expected quantities by resource name"))
    return found


def _place(scope: Scope, inside: Path | Expression) -> str:
    return f"{scope.where}.{inside}" if scope.where else str(inside)
