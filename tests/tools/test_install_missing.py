import sys

from tools.install_missing import installed_versions, read_requirements, split_requirements

REQUIREMENTS = read_requirements("""\
# What a user needs.
tensorflow>=2.20,<2.22
keras>=3.15,<4              # for a reason
tyro>=1.0,<2
pillow>=11,<14
""")


def names(installed):
    return [[requirement.name for requirement in group] for group in split_requirements(REQUIREMENTS, installed)]


def test_what_is_there_and_in_range_is_left_alone():
    assert names({"tensorflow": "2.21.0", "keras": "3.15.1", "tyro": "1.0.3", "pillow": "12.0"}) == [[], []]


def test_what_is_missing_or_too_old_is_installed():
    assert names({"tensorflow": "2.21.0", "keras": "3.15.1", "pillow": "10.4"}) == [["tyro", "pillow"], []]


def test_tensorflow_and_keras_are_kept_whatever_their_version():
    assert names({"tensorflow": "2.19.0", "keras": "3.10.0", "tyro": "1.1", "pillow": "12.0"}) == [
        [], ["tensorflow", "keras"],
    ]  # fmt: skip


def test_matplotlib_is_kept_where_a_kernel_may_have_loaded_it_and_else_installed():
    requirements = read_requirements("matplotlib>=3.11,<4")
    assert split_requirements(requirements, {"matplotlib": "3.10.0"}) == ([], requirements)
    assert split_requirements(requirements, {}) == (requirements, [])


def test_a_package_that_is_there_twice_counts_in_the_version_that_is_imported(tmp_path, monkeypatch):
    for version in ("2.0", "1.0"):
        metadata = tmp_path / version / f"some_package-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: Some_Package\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / version) for version in ("2.0", "1.0")])
    assert installed_versions() == {"some-package": "2.0"}


def test_where_there_is_no_tensorflow_it_is_installed():
    assert names({"tyro": "1.1", "pillow": "12.0"}) == [["tensorflow", "keras"], []]


def test_a_prerelease_that_is_there_counts():
    assert names({"tensorflow": "2.21.0rc1", "keras": "3.15.1", "tyro": "1.1", "pillow": "12.0"}) == [[], []]


def test_what_a_failed_uninstallation_left_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "some_package-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed_versions() == {}
