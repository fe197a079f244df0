"""YAML with limits: what PyYAML would make something else of, or could make nothing of, is an error with its line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from harness.errors import UserError
from harness.reading import LONGEST_INTEGER, read_unmarked
from harness.spec.common import KeyPath

#: The safe loader, in C where PyYAML was built with it: golden files have thousands of lines.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Bytes of a file; scalars, lists and mappings in it; such within each other. The largest golden file that ships has
#: 480,000 bytes with 40,000 values; a million of them take some ten seconds to read. Specs are 7 levels deep.
LARGEST, MOST_NODES, DEEPEST = 1 << 25, 1_000_000, 40
#: Nodes that aliases add when they are written out: nine aliases of aliases would be nine to their number. Files that
#: ship have no alias; as many as half of the largest golden file has values are read at once.
MOST_FROM_ALIASES = 20_000
#: Characters of a text that is kept as it was read, beside others: specs and variants have less.
_SHORT = 1 << 15
_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = {_TAG + "map", _TAG + "seq"}
_MERGE = _TAG + "merge"
_PLAIN_INTEGER, _PLAIN_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9_]*)"), re.compile(r"[-+]?[0-9_]*\.?[0-9_]*([eE].*)?")


class _TooMuch(Exception):
    """A limit of the whole file is passed: reading ends at once."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(words)
        self.line = line


def read_yaml(path: Path) -> tuple[Any, dict[KeyPath, int]]:
    """What a YAML file holds, of text, numbers, truth values and nothing, and the line of every key.

    Keys are text. The same text is the same content, which nobody changes. Raises UserError that names every line that
    is refused.
    """
    text = read_unmarked(path, LARGEST)
    read = _read_short(text) if len(text) <= _SHORT else _read_long(text)
    if read.problems:
        raise UserError("\n".join(f"{path}:{line}: {words}" for line, words in read.problems))
    return read.content, read.lines


@dataclass(frozen=True)
class _Read:
    """What a text holds, the lines of its keys, and every line that is refused, with the words why."""

    content: Any
    lines: dict[KeyPath, int]
    problems: tuple[tuple[int, str], ...] = ()


@lru_cache(maxsize=64)
def _read_short(text: str) -> _Read:
    """Specs and variants: commands look up names in all of them, and read the one that they are about repeatedly."""
    return _read(text)


@lru_cache(maxsize=1)
def _read_long(text: str) -> _Read:
    """Golden files, one at a time, since each takes some ten megabytes as it is read."""
    return _read(text)


def _read(text: str) -> _Read:
    try:
        document = _Document(_nodes_of(text))
        node = yaml.compose(text, Loader=_LOADER)
        content = None if node is None else document.value(node, ())
    except _TooMuch as error:
        return _Read(None, {}, ((error.line, str(error)),))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _Read(None, {}, ((mark.line + 1 if mark else 1, f"not YAML: {error.problem}"),))
    except (yaml.YAMLError, ValueError) as error:  # a ValueError of a mark or an escape that no character has
        return _Read(None, {}, ((1, f"not YAML: {str(error).splitlines()[0]}"),))
    return _Read(content, document.lines, tuple(sorted(set(document.problems))))


def _nodes_of(text: str) -> int:
    """The number of nodes, from the events, before anything recurses into them. Raises _TooMuch."""
    nodes = depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if nodes > MOST_NODES:
                raise _TooMuch(_line(event), f"the file holds more than {MOST_NODES} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _TooMuch(_line(event), f"is nested more than {DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return nodes


class _Document:
    """Values and lines of one file. lines: of every key and every item of a list. problems: (line, words)."""

    def __init__(self, nodes: int) -> None:
        self.lines: dict[KeyPath, int] = {(): 1}
        self.problems: list[tuple[int, str]] = []
        self._scalars = yaml.constructor.SafeConstructor()
        self._left = nodes + MOST_FROM_ALIASES

    def value(self, node: yaml.Node, key: KeyPath) -> Any:
        """What a node stands for. What is refused is noted, and None in its place."""
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0 or len(key) > DEEPEST:
            raise _TooMuch(line, f"aliases add more than {MOST_FROM_ALIASES} values, or lead into themselves")
        self.lines.setdefault(key, line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        if node.tag not in _COLLECTIONS:
            self._refuse(line, f"the tag {node.tag.removeprefix(_TAG)!r} is not read here; expected a plain value")
            return None
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, key)

    def _mapping(self, node: yaml.Node, key: KeyPath) -> dict[str, Any]:
        content: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else None
            if name_node.tag == _MERGE:
                merged += self._merged(value_node, line)
            elif name is None or name_node.tag != _TAG + "str":
                self._refuse(line, f"{_shown(name)} is a key; expected text as a key: quote it")
            elif name in content:
                self._refuse(line, f"the key {name!r} is given twice")
            else:
                self.lines[(*key, name)] = line
                content[name] = self.value(value_node, (*key, name))
        if merged:
            for name_node, value_node in self._entries(merged, 0):
                name = name_node.value
                if name not in content:
                    self.lines[(*key, name)] = name_node.start_mark.line + 1
                    content[name] = self.value(value_node, (*key, name))
        return content

    def _merged(self, node: yaml.Node, line: int) -> list[yaml.Node]:
        """The mappings that a merge key (<<) names, one or a list."""
        named = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if all(isinstance(each, yaml.MappingNode) for each in named):
            return list(named)
        self._refuse(line, "<< takes the keys of another mapping; expected an alias of one: <<: *name")
        return []

    def _entries(self, mappings: list[yaml.Node], depth: int) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Keys and values of mappings that are merged, those that they merge themselves last: the first one counts."""
        for mapping in mappings:
            self._left -= 1
            if depth > DEEPEST or self._left < 0:
                raise _TooMuch(mapping.start_mark.line + 1, "<< leads into itself, or adds too many values")
            inner: list[yaml.Node] = []
            for name_node, value_node in mapping.value:
                if name_node.tag == _MERGE:
                    inner += self._merged(value_node, name_node.start_mark.line + 1)
                elif name_node.tag == _TAG + "str" and isinstance(name_node, yaml.ScalarNode):
                    yield name_node, value_node  # any other key is told where the mapping itself is read
            yield from self._entries(inner, depth + 1)

    def _scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        text = node.value
        try:
            if (node.tag == _TAG + "int" and len(text) > LONGEST_INTEGER) or (
                node.tag == _TAG + "null" and text.lower() not in ("", "~", "null")
            ):
                raise ValueError(text)
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError, IndexError, OverflowError, AttributeError):
            what = node.tag.removeprefix(_TAG)
            self._refuse(line, f"{_shown(text)} cannot be read as {what!r}; expected text, a number, true or false")
            return None
        if value is not None and type(value) not in (str, int, float, bool):
            self._refuse(line, f"{_shown(text)} is read as a {type(value).__name__}; expected text: quote it")
        elif isinstance(value, float) and not math.isfinite(value):
            self._refuse(line, f"{_shown(text)} is no finite number")
        elif (type(value) is int and not _PLAIN_INTEGER.fullmatch(text)) or (
            type(value) is float and not _PLAIN_FLOAT.fullmatch(text)
        ):
            self._refuse(line, f"{_shown(text)} is {value} in YAML; expected a decimal number, or text in quotes")
        return value

    def _refuse(self, line: int, words: str) -> None:
        self.problems.append((line, words))


def _line(event: yaml.Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.line + 1


def _shown(text: str | None) -> str:
    """The beginning of a scalar; None of what is none."""
    if text is None:
        return "a list or a mapping"
    return repr(text if len(text) <= 40 else text[:40] + "…")
