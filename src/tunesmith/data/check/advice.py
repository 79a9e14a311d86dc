"""What each kind of finding means and what to do about it, most important first: warnings, then notes."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Advice(NamedTuple):
    """`what` completes "12 records: ..."; `mend` says what follows and what to do. A note may well be meant."""

    what: str
    mend: str
    level: Literal["warning", "note"] = "warning"


ADVICE = {
    "validation_copies": Advice(
        "validation records that are also trained on",
        "The validation loss will look better than it is. Take them out of one of the two.",
    ),
    "validation_questions": Advice(
        "validation records whose question is trained on, with another answer",
        "The validation does not show how new questions are answered. Keep records of one question together.",
    ),
    "validation_alike": Advice(
        "validation records almost the same as a training record (estimated likeness 85 % or more)",
        "The validation loss will look better than it is. Take them out of one of the two.",
    ),
    "broken_characters": Advice(
        "text that was lost when it was decoded (U+FFFD in its place)",
        "It cannot be brought back from here: export the source again, as UTF-8.",
    ),
    "misread_text": Advice(
        "signs of text read in the wrong encoding",
        "The model learns the garbled signs. Read the source in its own encoding, and export it again as UTF-8.",
    ),
    "template_marks": Advice(
        "marks of the model's own chat template inside a text",
        "The model sees a turn begin or end there. Remove them: the template adds them by itself.",
    ),
    "foreign_marks": Advice(
        "marks of some chat template inside a text",
        "They are learned as ordinary text. Remove them: the model's template adds its own.",
    ),
    "unfilled_slots": Advice(
        "slots that were never filled in",
        "The model learns to say them as they are. Put in what is meant.",
    ),
    "role_order": Advice(
        "turns in an unusual order",
        "Check that no turn is missing: a system text comes first, then question and answer in turn.",
    ),
    "hollow_answers": Advice(
        "answers that say nothing",
        "Often an empty cell of a table. Fill them in, or remove the records.",
    ),
    "repeats_question": Advice(
        "answers that only repeat the question",
        "The model learns to echo. Correct or remove them, unless echoing is the task.",
    ),
    "same_as_rejected": Advice(
        "preferred and rejected answers that are the same",
        "There is nothing to prefer. Remove these records.",
    ),
    "looped_answers": Advice(
        "answers that say the same again and again",
        "The model learns to loop. Shorten or remove them.",
    ),
    "gone_answers": Advice(
        "questions or pictures so long that max_length leaves nothing of the answer, or cuts a picture",
        "Training with this max_length would refuse them as bad records. Raise it, or shorten them.",
    ),
    "cut_answers": Advice(
        "answers that max_length cuts",
        "They are learned without their end, and so without stopping. Raise max_length, or shorten them.",
    ),
    "beyond_model": Advice(
        "rows longer than the model was made for",
        "What comes later is learned badly at best. Set max_length to what the model sees.",
    ),
    "unknown_tokens": Advice(
        "characters that the vocabulary lacks (<unk>)",
        "The model cannot tell them from each other. Replace the characters, or choose another model.",
    ),
    "spelt_in_bytes": Advice(
        "texts that the vocabulary lacks, so that a fifth of the tokens or more are single bytes",
        "The model hardly knows this writing, and rows get long. Choose a model made for it.",
    ),
    "copies": Advice(
        "exact copies of an earlier record",
        "They are learned more than once an epoch. Remove them, unless they are to weigh more.",
    ),
    "near_copies": Advice(
        "records almost the same as an earlier one (estimated likeness 85 % or more)",
        "Nearly the same is learned several times. Keep one of each, unless the small differences matter.",
    ),
    "control_characters": Advice(
        "control characters", "Remnants of a program or a bad export. Remove them."
    ),
    "private_characters": Advice(
        "characters without an agreed meaning (private use)",
        "Often icons of a web page or a PDF. Remove or replace them.",
    ),
    "invisible_characters": Advice(
        "invisible characters (zero width, direction marks)",
        "They are learned as tokens that nobody sees. Remove them.",
    ),
    "carriage_returns": Advice(
        "carriage returns (\\r)", "Line ends of Windows inside the texts. Replace \\r\\n by \\n."
    ),
    "other_answers": Advice(
        "questions that an earlier record answers otherwise",
        "Fine where several answers are right; where one is, the model cannot learn which.",
        "note",
    ),
    "html": Advice("remnants of HTML", "Remove the tags and decode the entities, unless HTML is the task.", "note"),
    "other_assistant": Advice(
        "answers in the words of another assistant",
        "The model will say so of itself. Rewrite them if it is to have its own name and manner.",
        "note",
    ),
    "spaces_around": Advice(
        "answers with white space at the beginning or end",
        "The model learns to write it, and a space changes the first token. Strip it.",
        "note",
    ),
    "other_language": Advice(
        "answers in another language than the question",
        "Fine for translation and code; otherwise check these records.",
        "note",
    ),
    "short_answers": Advice(
        "answers far shorter than the others", "Check that they are complete.", "note"
    ),
    "very_long": Advice(
        "records far longer than the others", "Check that they are not several records in one.", "note"
    ),
}  # fmt: skip
