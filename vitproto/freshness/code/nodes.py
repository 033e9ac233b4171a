"""Write down reached code: a digest and links for each definition, module and file."""

import hashlib
import json
from collections.abc import Container, Iterable

from vitproto.freshness.code.code_graph import Node
from vitproto.freshness.code.definitions import Statement
from vitproto.freshness.code.modules import place_of_file
from vitproto.freshness.code.search import Search
from vitproto.freshness.code.statement_text import ModuleName, Reference
from vitproto.freshness.code.targets import Target


def nodes_of(search: Search) -> dict[str, Node]:
    """Each definition, module and data file that a search reached, by its place.

    Args:
        search: a search that has ended.
    """
    return _Writer(search).nodes()


class _Writer:
    def __init__(self, search: Search) -> None:
        self._search = search
        self._modules = search.modules

    def nodes(self) -> dict[str, Node]:
        project = self._modules.project
        nodes = {
            place_of_file(file, project): Node(_digest(file.read_bytes()))
            for files in self._search.data.values()
            for file in files
        }
        names = {*self._search.reached, *self._search.whole}
        orders = {name: self._order(name) for name in names}
        doing = {name for name in orders if orders[name] or name in self._search.whole}
        for name, order in orders.items():
            for place, statements in self._definitions(name).items():
                content = _Content()
                for statement in statements:
                    self._add_statement(statement, content, doing)
                nodes[place] = content.node()
            if name in doing:
                content = _Content()
                content.parts.append("the stage" if name == self._search.stage else "")
                for statement in order:
                    if statement.names:
                        content.link(self._modules.place(name, statement))
                    else:
                        self._add_statement(statement, content, doing)
                if name in self._search.whole:
                    self._add_names(name, content)
                nodes[self._modules.place(name)] = content.node()
        return nodes

    def _definitions(self, name: str) -> dict[str, list[Statement]]:
        """The reached statements of a module that define names, by their places."""
        definitions: dict[str, list[Statement]] = {}
        for statement in self._modules.known(name).statements:
            if statement in self._search.reached.get(name, ()) and statement.names:
                place = self._modules.place(name, statement)
                definitions.setdefault(place, []).append(statement)
        return definitions

    def _order(self, name: str) -> list[Statement]:
        """The statements of a module whose order counts.

        A statement that runs at import may find a name defined or not, or defined
        otherwise. Left out are definitions that come before all such statements, and a
        statement that would be alone in the list.
        """
        module = self._modules.known(name)
        again = {name for name, given in module.defined.items() if len(given) > 1}
        order: list[Statement] = []
        for statement in module.statements:
            if statement not in self._search.reached.get(name, ()):
                continue
            is_again = not again.isdisjoint(statement.names)
            # In a default value, or in the body of a class.
            sees = statement.is_definition and again & statement.text.mentioned
            comes_after = order and not statement.is_definition
            if statement.has_effects or is_again or sees or comes_after:
                order.append(statement)
        names = {statement.names for statement in order}
        return [] if len(names) == 1 and names != {()} else order

    def _add_statement(
        self, statement: Statement, content: "_Content", doing: Container[str]
    ) -> None:
        """Write down a statement, with links for names that lead to code of ours.

        Args:
            doing: the modules that do something when they are imported.
        """
        content.parts.append(statement.text.digest)
        for lead in statement.text.leads:
            if isinstance(lead, Reference):
                self._add_targets(
                    self._search.leads[statement][lead] or [Target("", "", lead.name)],
                    content,
                )
            elif isinstance(lead, ModuleName):
                is_ours = self._modules.get(lead.name) is not None
                content.parts.append("" if is_ours else lead.name)
            elif self._modules.get(lead.runs.split(".")[0]) is None:
                content.parts.append(f"import {lead.runs} {lead.attribute}")
            else:
                for name in self._modules.run_by(lead):
                    if name in doing:
                        content.link(self._modules.place(name))
        for path in self._search.data.get(statement, ()):
            content.link(place_of_file(path, self._modules.project))
        for label, name in self._search.behind.get(statement, ()):
            content.parts.append(label)
            content.link(self._modules.place(name))

    def _add_targets(self, targets: Iterable[Target], content: "_Content") -> None:
        content.parts.append("to")
        for target in targets:
            module = self._modules.get(target.module)
            if module is None:
                content.parts.append(f"{target.name}{target.rest}")
                continue
            places = dict.fromkeys(
                self._modules.place(target.module, statement)
                for statement in module.defined.get(target.name, (None,))
            )
            for place in places:
                content.link(place)
            is_rebound = (target.module, target.name) in self._search.rebound
            kept = "kept" if target.is_kept and is_rebound else ""
            content.parts.append(f"{target.rest} {kept}")

    def _add_names(self, name: str, content: "_Content") -> None:
        """Write down what each name of a module leads to."""
        module = self._modules.known(name)
        within = self._modules.within(name)
        for known in sorted({*module.defined, *module.imported, *within} - {"*"}):
            content.parts.append(known)
            self._add_targets(self._search.targets.at(name, known), content)
        for import_ in module.imported.get("*", ()):
            self._add_targets(self._search.targets.at(import_.module), content)


class _Content:
    """The written form of a definition or module."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._links: dict[str, int] = {}

    def link(self, place: str) -> None:
        """Write a number for something of ours, which does not tell where it lies."""
        self.parts.append(f"#{self._links.setdefault(place, len(self._links))}")

    def node(self) -> Node:
        return Node(_digest(json.dumps(self.parts).encode()), tuple(self._links))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
