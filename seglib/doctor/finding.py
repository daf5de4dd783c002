"""What the doctor says of one thing it looked at."""

from dataclasses import dataclass

OK, NOTE, FAULT = "OK", "note", "fault"


@dataclass
class Finding:
    """One thing that was looked at; `remedy` says what to do about it."""

    level: str
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level:5}  {self.subject:14}  {self.text}" + (f"\n{'':23}-> {self.remedy}" if self.remedy else "")
