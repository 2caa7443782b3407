from common.app.lesson import method_of


def test_methods_and_properties_join_a_class_and_its_instances():
    class Counter:
        def __init__(self):
            self.count = 1

    counter = Counter()

    @method_of(Counter)
    def add(self, number=1):
        self.count += number
        return self.count

    @method_of(Counter)
    @property
    def double(self):
        return 2 * self.count

    assert counter.add() == 2 and counter.double == 4
    assert add(counter, 2) == 4  # the name in the notebook is the method

    @method_of(Counter)
    def add(self):  # noqa: F811
        return "replaced"

    assert counter.add() == "replaced"
