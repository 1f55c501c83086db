from benchmarks.markdown import table


def test_table_columns_line_up() -> None:
    lines = table(["a", "long name"], [["wide cell", "1"], ["b", "2"]]).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --------- | --------- |"
