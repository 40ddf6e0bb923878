"""The name of an encoder taken apart: ``kind:rest?option=value&option=value``."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmeval.errors import UserError


@dataclass(frozen=True)
class Named:
    """An encoder's name in its parts."""

    full: str
    kind: str
    rest: str
    """What stands between the kind and the options."""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str) -> Named:
        """Take ``name`` apart.

        Raises:
            UserError: an option without ``=``.
        """
        head, _, tail = name.partition("?")
        kind, _, rest = head.partition(":")
        pairs = [part.partition("=") for part in tail.split("&") if part]
        for key, equals, value in pairs:
            if not (key and equals and value):
                raise UserError(f'"{name}": write options as ?name=value&name=value.')
        return cls(name, kind, rest, {key: value for key, _, value in pairs})

    def without_weights(self) -> str:
        """The same name with the option ``weights=random``."""
        head = self.full.partition("?")[0]
        options = {**self.options, "weights": "random"}
        return f"{head}?{'&'.join(f'{key}={value}' for key, value in options.items())}"

    def only(self, *known: str) -> None:
        """Refuse options that this encoder does not have.

        Raises:
            UserError: there is one.
        """
        for key in self.options:
            if key not in known:
                has = ", ".join(known) or "none"
                raise UserError(f'"{self.full}": this encoder has no option "{key}"; it has {has}.')

    def choice(self, key: str, *choices: str) -> str:
        """The value of an option, by default the first choice.

        Raises:
            UserError: it is none of ``choices``.
        """
        value = self.options.get(key, choices[0])
        if value not in choices:
            raise UserError(f'"{self.full}": {key}={value}; write {" or ".join(choices)}.')
        return value

    def number(self, key: str, default: int, largest: int = 1 << 20) -> int:
        """The value of an option as a whole number from 1.

        Raises:
            UserError: it is none, or too large.
        """
        value = self.options.get(key, str(default))
        if not value.isdecimal() or not 1 <= int(value) <= largest:
            raise UserError(f'"{self.full}": {key}={value}; write a whole number from 1 to {largest}.')
        return int(value)

    def sizes(self, default: str, *names: str) -> list[int]:
        """``rest`` as numbers with ``x`` between them: ``131072x64``.

        Raises:
            UserError: it is something else.
        """
        text = self.rest or default
        parts = text.split("x")
        if len(parts) != len(names) or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise UserError(f'"{self.full}": "{text}" is no size of this encoder; write {"x".join(names)}.')
        return [int(part) for part in parts]

    def pixels(self, default: int) -> int:
        """``rest`` as the side of a square image.

        Raises:
            UserError: it is something else.
        """
        text = self.rest or str(default)
        if not text.isdecimal() or not 16 <= int(text) <= 1024 or int(text) % 16:
            raise UserError(f'"{self.full}": "{text}" is no size of this encoder; write a multiple of 16 up to 1024.')
        return int(text)
