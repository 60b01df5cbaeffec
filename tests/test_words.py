"""Plain English: words that were private here, and sentences that were riddles, do not come back."""

import ast
import re
import tokenize

import pytest

from conftest import ROOT

SRC = ROOT / "src/neuroglow"

PRIVATE = {
    r"\blit\b": "detected",
    r"\bthe model before\b": "the previous model",
    r"\bseen, unlabelled\b": "unlabelled data",
    r"\bof unlike cameras\b": "cameras that differ",
    r"\bhalf to nine tenths of the cubes that its rule takes\b": "a measured share",
    r"\bso that they chose among a few\b": "how they were chosen",
    r"\bfound too much is pruned\b": "a false detection is easier to remove",
    r"\bwere wanted without labels\b": "the targets were",
    r"\bput out\b": "removed",
    r"\bits column is kind to it\b": "optimistic",
    r"\bWhether so dim an axon is whole\b": "the continuity of a dim axon",
    r"\bdoes not clearly run on\b": "no clear continuation",
    r"\bwas won by reading less twice\b": "reading fewer voxels twice",
    r"\bThat a neurite reaches somewhere\b": "keep neurites that reach this",
    r"\bThat it keeps everywhere\b": "follow a neurite down to this",
    r"\bOf all that is drawn\b": "random seed",
    r"\bFrom which a voxel is lit\b": "detected at or above this",
    r"\bBeside methods without a network\b": "compared with",
    r"""(?:heading\(.|#+ )What was assumed""": "Assumptions",
    r"\bshare of the length that is found where\b": "recall at a precision",
}
"""Words and sentences that nobody else uses, and what to write."""

PRIVATE_IN_SRC = PRIVATE | {
    r"(?-i:\b[Bb]eside\b)(?!:)": "compared with, or next to",  # BESIDE and a parameter are names
    r"\b(?:voxels|bits|files) an? (?:axis|cube|tree|voxel)\b": "per",
    r"\bnothing (?:in it )?runs on\b": "without neurites",
}


def prose(source):
    """List the texts of Python source: comments and strings, without the names in f-strings."""
    lines = iter(source.splitlines(keepends=True))
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        kind = tokenize.tok_name[token.type]
        if kind in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
            text = re.sub(r"\{[^{}]*\}", " ", token.string) if kind == "STRING" else token.string
            if " " in text.strip():  # one word is a name
                yield token.start[0], text


def breaches(texts, private):
    """Name the private words in texts (place, text), however they are wrapped, and the cure."""
    return [
        f"{place}: {match[0]!r}, write: {cure}"
        for place, text in texts
        for pattern, cure in private.items()
        for match in re.finditer(pattern, " ".join(text.split()), flags=re.IGNORECASE)
    ]


def python_texts(folder):
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        for line, text in prose(path.read_text(encoding="utf-8")):
            yield f"{name}:{line}", text


def test_no_private_words_in_the_package():
    texts = list(python_texts(SRC))
    assert len(texts) > 1000
    assert breaches(texts, PRIVATE_IN_SRC) == []


def test_no_private_words_in_the_documentation():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    assert len(pages) > 10
    texts = [(page.name, page.read_text(encoding="utf-8")) for page in pages]
    assert breaches(texts, PRIVATE) == []


def test_names_of_variables_are_in_plain_words():
    names = {
        node.id if isinstance(node, ast.Name) else node.arg
        for path in SRC.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name | ast.arg)
    }
    assert "detected" in names
    assert not {name for name in names if "lit" in name.split("_")}


@pytest.mark.parametrize(
    "source",
    [
        '"""What is lit above the threshold."""',
        'raise ValueError(f"{count} voxels\\n beside the truth")',
        "x = 1  # seen, unlabelled",
        '"""Compare with the\n\nmodel before."""'.replace("\n\n", "\n"),
        'help = "From which a voxel is LIT."',
        "# thirty files a cube",
    ],
)
def test_a_planted_private_word_is_found(source):
    assert breaches(prose(source), PRIVATE_IN_SRC)


def test_plain_words_and_names_pass():
    source = (
        'beside = f"a split of {beside}, quality and light"  # compared with the previous model'
    )
    assert breaches(prose(source), PRIVATE_IN_SRC) == []
