"""YAML as people write it: read, or refused before it can do harm."""

import yaml

MAX_CHARACTERS = 1_000_000
MAX_SCALAR = 3000  # characters of one value; Python refuses to print numbers of more than 4300 digits
MAX_DEPTH = 40  # of lists and mappings in each other; the reader needs time that grows with its square
# What PyYAML raises, besides its own errors, for values that look like a number or a date and are none.
FAULTS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


def read_yaml(text: str) -> object:
    """What a YAML text says, in dictionaries, lists, texts and numbers.

    Raises ValueError, in one line, for what is no YAML, and for aliases, with which a few lines can stand for more
    values than any memory holds, for lists in lists without end, and for texts of more than MAX_CHARACTERS.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS:,} characters")
    try:
        _look_through(text)
        _refuse_repeated(yaml.compose(text, Loader=yaml.SafeLoader))
        return yaml.safe_load(text)
    except FAULTS as error:
        raise ValueError(" ".join(str(error).split())[:300]) from None


def _refuse_repeated(node: yaml.Node | None) -> None:
    """ValueError for a mapping that names a key twice: the reader would take the last one without a word."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: '{key.value[:40]}' is there twice; keep one")
            seen |= {name} - {None}
            _refuse_repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated(value)


def _look_through(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {line}: *{event.anchor[:40]} stands for a value elsewhere; write the value itself")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
            raise ValueError(f"line {line}: a value of more than {MAX_SCALAR:,} characters")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"line {line}: lists or mappings more than {MAX_DEPTH} deep")
