"""How sure the model is of its first token in each cell, as a list."""

from markupsafe import Markup

from harness.reports.layouts.base import Drawing


def draw(record, published):
    """One line for each cell; nothing where a record has no such figure."""
    found = {cell.id: cell.measurement("first_token") for cell in record.cells}
    lines = [Markup("<li>{}: {:.2f}</li>").format(cell, m.value) for cell, m in found.items() if m is not None]
    return Drawing(Markup("<ul>{}</ul>").format(Markup().join(lines)), "How sure it is.") if lines else None
