"""Label files: encodings, separators, and the meaning of each column. Expected values are written by hand."""

import numpy as np
import pytest
import torch

from autoencoders.data.label_table import group_column, interpret, join, parse_numbers, read_label_table
from autoencoders.types import UserError


def read(tmp_path, text, images, encoding="utf-8"):
    """Return the context, the labels as lists, and the notes of a label file for the given images."""
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    table = join(read_label_table(path), images)
    context, labels, notes = interpret(table)
    return context, labels.tolist(), [*table.notes, *notes]


def test_a_path_that_is_listed_twice_is_refused(tmp_path):
    text = "file,kind\n0.png,a\n1.png,b\n./0.png,b\n2.png,a\n"
    with pytest.raises(UserError, match=r"must list each image once, got 0\.png in line 2 and in line 4\. Remove one"):
        read(tmp_path, text, ["0.png", "1.png", "2.png"])


def test_rows_are_joined_by_name_and_not_by_position(tmp_path):
    context, labels, notes = read(tmp_path, "f,k\nc.png,z\nx.png,q\na.png,x\nb.png,y\n", ["a.png", "b.png", "c.png"])
    assert (context.kind, context.names, labels) == ("classes", ("x", "y", "z"), [0, 1, 2])
    assert notes == ["1 row of labels.csv without an image file.", "Column k: 3 classes (x, y, z)."]


def test_words_such_as_none_and_na_are_classes_and_an_empty_cell_is_unknown(tmp_path):
    words = ["None", "NA", "", "null", "nan", "None"]
    rows = "".join(f"{i}.png,{word}\n" for i, word in enumerate(words))
    context, labels, _ = read(tmp_path, f"file,kind\n{rows}", [f"{i}.png" for i in range(6)])
    assert context.names == ("NA", "None", "nan", "null")
    assert labels == [1, 0, -1, 3, 2, 1]


def test_integers_with_an_empty_cell_stay_classes_in_the_order_of_the_numbers(tmp_path):
    context, labels, notes = read(tmp_path, "f,n\n0,10\n1,9\n2,\n3,-1\n4,10\n", list("01234"))
    assert (context.kind, context.names, labels) == ("classes", ("-1", "9", "10"), [2, 1, -1, 0, 2])
    assert notes == ["Column n: 3 classes (-1, 9, 10)."]


def test_numbers_with_leading_zeros_are_words(tmp_path):
    context, labels, _ = read(tmp_path, "f,code\n0,007\n1,7\n2,10\n", list("012"))
    assert (context.names, labels) == (("007", "10", "7"), [0, 2, 1])


def test_a_single_column_of_decimal_numbers_is_an_attribute(tmp_path):
    context, labels, notes = read(tmp_path, "f,age\n0,20.5\n1,\n2,89\n", list("012"))
    assert (context.kind, context.names) == ("attributes", ("age",))
    np.testing.assert_array_equal(labels, [[20.5], [np.nan], [89]])
    assert notes == ["Attributes of labels.csv: age: numbers, 20.5 to 89."]


def test_two_words_in_one_of_several_columns_are_zero_and_one(tmp_path):
    context, labels, notes = read(tmp_path, "f,age,smile\n0,20,yes\n1,30,no\n2,,yes\n3,50,\n", list("0123"))
    assert context.names == ("age", "smile")
    np.testing.assert_array_equal(labels, [[20, 1], [30, 0], [np.nan, 1], [50, np.nan]])
    assert notes == ["Attributes of labels.csv: age: numbers, 20 to 50; smile: 0 is no and 1 is yes."]


@pytest.mark.parametrize(
    ("cells", "found", "line"),
    [(["1", "2", "old", "4"], "old", 4), (["a", "b", "c", "a"], "a", 2), (["1", "nan", "3", ""], "nan", 3)],
)
def test_other_words_in_one_of_several_columns_are_refused_with_column_and_line(tmp_path, cells, found, line):
    rows = "".join(f"{i},{i},{cell}\n" for i, cell in enumerate(cells))
    with pytest.raises(
        UserError, match=rf"Column 'b' of .* must contain only numbers.*, got '{found}' in line {line}\."
    ):
        read(tmp_path, f"f,a,b\n{rows}", list("0123"))


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8-sig", None), ("utf-16", None), ("latin-1", "labels.csv is not valid UTF-8 and is read as Latin-1."),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("separator", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab")])
def test_encodings_and_separators(tmp_path, encoding, note, separator, name):
    text = f"Datei{separator}Art\nfür/ä.png{separator}Käse\n2.png{separator}Brot\n"
    context, labels, notes = read(tmp_path, text, ["für/ä.png", "2.png"], encoding)
    assert (context.names, labels) == (("Brot", "Käse"), [1, 0])
    expected = [note] if note else []
    expected += [f"The cells of labels.csv are separated by a {name}."] if name != "comma" else []
    assert notes == [*expected, "Column Art: 2 classes (Brot, Käse)."]


def test_cells_with_separators_in_quotes_and_spaces(tmp_path):
    context, labels, _ = read(
        tmp_path, 'f, k\n0.png , "a, b"\n"1,2.png",c\n'.replace(', "', ',"'), ["0.png", "1,2.png"]
    )
    assert (context.names, labels) == (("a, b", "c"), [0, 1])


def test_a_name_is_found_in_the_other_unicode_form_and_in_another_encoding(tmp_path):
    composed, decomposed = "Z\u00fcrich.png", "Zu\u0308rich.png"
    assert read(tmp_path, f"f,k\n{composed},a\n", [decomposed])[1] == [0]
    in_latin_1 = b"Z\xfcrich.png".decode("utf-8", "surrogateescape")  # as Python lists a file with this name
    assert read(tmp_path, f"f,k\n{composed},a\n", [in_latin_1], "latin-1")[1] == [0]
    with pytest.raises(UserError, match=r"Z\\xfcrich\.png and Zürich\.png have the same name in two encodings"):
        read(tmp_path, f"f,k\n{composed},a\n", [in_latin_1, composed])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f,k\n0,a\n1,b,c\n2,a\n", "Line 3 of .* must have 2 cells like the header, separated by a comma, got 3"),
        ("f,k\n0,a\n1\n2,a\n", "Line 3 of .* must have 2 cells like the header, separated by a comma, got 1"),
        ("f;k;l\n0;a\n", "Line 2 of .* must have 3 cells like the header, separated by a semicolon, got 2"),
        ("f,k,\n0,a,\n", "Column 3 of .* must have a name in the first line"),
        ("f,k,k\n0,1,2\n", "must have different names, got 'k' twice"),
        ("", "must contain a header and one row per image, got an empty file"),
        ("f\n0\n1\n2\n", "must contain the labels of all images, but has no label for any image"),
        ("f,k\n0,\n1,\n2,\n", "Column 'k' of .* must contain at least one label, got only empty cells"),
        ("f,k\n0,a\n", r"but has no label for 1 and 1 more\. Write the names of the columns into the first line"),
        ('f,k\n0,"a\n1,b\n', "Line 3 of .* cannot be read"),
        ("f,k\n0,\0\n", "must be a text file in UTF-8"),
    ],
)
def test_a_file_that_is_not_a_table_is_refused_in_one_sentence(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, list("012"))


def test_the_group_column_is_no_label(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("f,person,kind\n0,Ann,a\n1,Bob,b\n2,Ann,a\n")
    table = join(read_label_table(path), list("210"))
    groups, remaining = group_column(table, "person")
    assert groups == ["Ann", "Bob", "Ann"]
    assert remaining.columns == ["kind"]
    assert torch.equal(interpret(remaining)[1], torch.tensor([0, 1, 0]))
    with pytest.raises(
        UserError, match=r"data\.group must be a column of .*, got 'patient'. Choose from: person, kind"
    ):
        group_column(table, "patient")
    path.write_text("f,person\n0,Ann\n1,\n")
    with pytest.raises(UserError, match=r"Column 'person' of .* got an empty cell in line 3"):
        group_column(join(read_label_table(path), list("01")), "person")


@pytest.mark.parametrize("cells", [["1_0"], ["inf"], ["nan"], ["1", "x"], ["1,5"], ["0x10"], ["True"]])
def test_text_that_is_not_a_plain_number_is_a_word(cells):
    assert parse_numbers(cells) is None


def test_numbers_are_those_of_python():
    cells = ["1", "-2.5", "+3e2", "", ".5", "1e-3"]
    np.testing.assert_array_equal(parse_numbers(cells), [float(cell or "nan") for cell in cells])
