from vitproto.report.shared.markdown import (
    Section,
    TextTable,
    align,
    list_meanings,
    widen,
    write_markdown,
    write_section,
)


def test_columns_stand_one_below_the_other_and_pipes_are_kept_apart():
    table = TextTable({"Name": "<", "N|o": ">"}, [["a|b", "1"], ["longer", "20"]])
    assert align(table) == [
        "| Name   | N\\|o |",
        "| ------ | ---: |",
        "| a\\|b   |    1 |",
        "| longer |   20 |",
    ]


def test_names_are_no_html_and_stay_on_their_line():
    names = ["<script>alert(1)</script>", "p < 0.05, x<3", "two\nlines", "a <!-- b"]
    table = TextTable({"Name": "<"}, [[name] for name in names])
    assert [line.strip("| ") for line in align(table)[2:]] == [
        "\\<script>alert(1)\\</script>",
        "p < 0.05, x<3",
        "two lines",
        "a \\<!-- b",
    ]
    text = write_markdown("Is <img src=x> better?", [names[0]])
    assert text == ("Is \\<img src=x> better?\n\n- \\<script>alert(1)\\</script>\n")


def test_a_wide_table_leaves_empty_what_was_not_given():
    cells = [(("x", 1), "a", "10"), (("y", 1), "b", "21"), (("x", 1), "b", "11")]
    table = widen({"Name": "<", "N": ">"}, ["a", "b"], cells)
    assert table.columns == {"Name": "<", "N": ">", "a": "<", "b": "<"}
    assert table.rows == [["x", "1", "10", "11"], ["y", "1", "", "21"]]


def test_a_section_is_a_document():
    table = TextTable({"Name": "<"}, [["a"]])
    text = write_section(Section("What?", ["This.", "That."], {"Numbers": table}))
    assert text == (
        "# What?\n\nThis.\n\nThat.\n\n## Numbers\n\n| Name |\n| ---- |\n| a    |\n"
    )


def test_a_document_has_a_blank_line_between_blocks_and_no_empty_lists():
    table = TextTable({"N": ">"}, [["1"]])
    meanings = list_meanings({"N": "a number.", "M": "another."})
    assert write_markdown("# What?", table, [], meanings) == (
        "# What?\n\n|   N |\n| --: |\n|   1 |\n\n"
        "- **N**: a number.\n- **M**: another.\n"
    )
