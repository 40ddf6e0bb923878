"""Names of encoders: ``kind:argument?option=value&option=value``."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmeval.errors import UserError


@dataclass(frozen=True)
class EncoderName:
    """An encoder's name, parsed, with checked access to its argument and options."""

    full: str
    """The name as the user wrote it."""
    kind: str
    argument: str
    """The text between the kind and the options: a model's name, a path, or sizes; may be empty."""
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str) -> EncoderName:
        """Parse ``name``.

        Raises:
            UserError: an option is not written as ``name=value``.
        """
        head, _, tail = name.partition("?")
        kind, _, argument = head.partition(":")
        pairs = [part.partition("=") for part in tail.split("&") if part]
        for key, equals, value in pairs:
            if not (key and equals and value):
                raise UserError(f'"{name}": write options as ?name=value&name=value.')
        return cls(name, kind, argument, {key: value for key, _, value in pairs})

    def with_random_weights(self) -> str:
        """Return the same name with the option ``weights=random``."""
        head = self.full.partition("?")[0]
        options = {**self.options, "weights": "random"}
        return f"{head}?{'&'.join(f'{key}={value}' for key, value in options.items())}"

    def check_options(self, *known: str) -> None:
        """Check that the name has no options but ``known``.

        Raises:
            UserError: it has another option.
        """
        for key in self.options:
            if key not in known:
                names = ", ".join(known) or "none"
                raise UserError(f'"{self.full}": this encoder has no option "{key}"; it has {names}.')

    def require_training(self, modality: str, frozen: bool) -> None:
        """Check that an encoder without pretrained weights is not to be frozen.

        Raises:
            UserError: ``frozen`` is True.
        """
        if frozen:
            raise UserError(f'The {modality} encoder "{self.full}" has no pretrained weights, so it can\'t be frozen.')

    def choice(self, key: str, *choices: str) -> str:
        """Return the value of an option with a fixed set of values; the first of ``choices`` is the default.

        Raises:
            UserError: the value is none of ``choices``.
        """
        value = self.options.get(key, choices[0])
        if value not in choices:
            raise UserError(f'"{self.full}": {key}={value}; write {" or ".join(choices)}.')
        return value

    @property
    def has_random_weights(self) -> bool:
        """Whether the option ``weights`` is ``random``.

        Raises:
            UserError: the option is neither ``pretrained`` nor ``random``.
        """
        return self.choice("weights", "pretrained", "random") == "random"

    def integer(self, key: str, default: int, largest: int = 1 << 20) -> int:
        """Return the value of an option that is an integer from 1 to ``largest``.

        Raises:
            UserError: the value is no such integer.
        """
        value = self.options.get(key, str(default))
        if not value.isdecimal() or not 1 <= int(value) <= largest:
            raise UserError(f'"{self.full}": {key}={value}; write a whole number from 1 to {largest}.')
        return int(value)

    def sizes(self, default: str, *names: str) -> list[int]:
        """Return the argument as positive integers separated by ``x``, one for each of ``names``: ``131072x64``.

        Raises:
            UserError: the argument has another form.
        """
        text = self.argument or default
        parts = text.split("x")
        if len(parts) != len(names) or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise UserError(f'"{self.full}": "{text}" is no size of this encoder; write {"x".join(names)}.')
        return [int(part) for part in parts]

    def image_size(self, default: int) -> int:
        """Return the argument as the side of a square image in pixels.

        Raises:
            UserError: it is no multiple of 16 from 16 to 1024.
        """
        text = self.argument or str(default)
        if not text.isdecimal() or not 16 <= int(text) <= 1024 or int(text) % 16:
            raise UserError(f'"{self.full}": "{text}" is no size of this encoder; write a multiple of 16 up to 1024.')
        return int(text)
