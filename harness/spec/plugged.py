"""Settings that plugins declare: of those that ship one type, of those of other distributions when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticKnownError

from harness import plugins
from harness.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


def settings_type(kind: str, key: str, shipped: Any, base: type) -> Any:
    """The type of an entry of a spec whose `key` names a plugin of that kind, which has `Settings`.

    shipped: the union of the settings that ship, told apart by the same key. base: what all settings derive from.
    Of an installed plugin nothing is imported until a spec names it. One that is broken, or there twice, is an error
    at the entry that names it.
    """

    def chosen(raw: Any, shipped_settings: ValidatorFunctionWrapHandler) -> Any:
        name = raw.get(key) if isinstance(raw, Mapping) else getattr(raw, key, None)
        if not isinstance(name, str):
            return shipped_settings(raw)
        known = plugins.names(kind)
        if name.replace("-", "_") not in known:
            tags = ", ".join(f"'{each}'" for each in known)
            raise PydanticKnownError(
                "union_tag_invalid", {"discriminator": f"'{key}'", "tag": name, "expected_tags": tags}
            )
        try:
            settings = _declared(kind, name, base) if plugins.find(kind, name) else None
        except UserError as error:
            raise ValueError(str(error)) from error
        return shipped_settings(raw) if settings is None else validated(settings, raw)

    as_it_is: Any = SerializeAsAny  # a checker takes it for a type
    return Annotated[shipped, Field(discriminator=key), as_it_is(), WrapValidator(chosen)]


def validated(settings: type[Model], raw: Any) -> Model:
    """The settings that an entry declares.

    Raises pydantic.ValidationError for a value that is not as declared, and ValueError, which pydantic tells at the
    entry, for whatever else the code of an installed plugin raises.
    """
    try:
        return settings.model_validate(raw)
    except ValidationError:
        raise
    except (Exception, SystemExit) as error:  # whatever another's validator does, it is not an error of the harness
        if (told := plugins.blamed(error)) is None:
            raise
        raise ValueError(str(told)) from error


def named_settings_type(kind: str, key: str, base: Any) -> Any:
    """The type of an entry of a spec that is the name of a plugin of that kind, or a mapping whose `key` names it.

    A plugin needs no `Settings`: without, it takes no more than its name. base: what all settings derive from, and what
    those of a plugin without are. Nothing is imported until a spec names it; one that is broken, or there twice, is an
    error at the entry that names it.
    """

    def chosen(raw: Any, default: ValidatorFunctionWrapHandler) -> Any:
        content = {key: raw} if isinstance(raw, str) else raw
        name = content.get(key) if isinstance(content, Mapping) else getattr(content, key, None)
        if not isinstance(name, str):
            return default(content)
        try:
            settings = _declared(kind, name, base) if hasattr(plugins.load(kind, name), "Settings") else base
        except UserError as error:
            raise ValueError(str(error)) from error
        return validated(settings, content)

    as_it_is: Any = SerializeAsAny
    return Annotated[base, as_it_is(), WrapValidator(chosen)]


def _declared(kind: str, name: str, base: type) -> Any:
    module = plugins.load(kind, name)
    settings = module.Settings
    if not (isinstance(settings, type) and issubclass(settings, base)):
        why = f"{module.__name__}.Settings derives from no {base.__name__} ({base.__module__})"
        raise plugins.unfit(kind, name, why)
    return settings
