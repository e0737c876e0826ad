from timings.summary import Summary, summarise


def test_one_value_is_all_figures():
    assert summarise([7]) == Summary(1, 7, 7)


def test_the_nearest_rank_of_twenty_is_the_nineteenth():
    assert summarise(list(range(20, 0, -1))) == Summary(20, 19, 20)
