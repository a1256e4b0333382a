"""Every exception is a public name, says what it says in words, and can be sent from one process to another."""

import pickle

import pytest
import v05
from v05.replay import LogError

ERRORS = [getattr(v05, name) for name in v05.__all__ if isinstance(getattr(v05, name), type)]
ERRORS = [kind for kind in ERRORS if issubclass(kind, v05.Error) and kind is not v05.MissingExtra]


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_is_sent_whole(kind):
    error = kind("rewards[3] must be finite, got inf")
    error.status, error.index = "V05_STATUS_INVALID_REWARD", 3
    sent = pickle.loads(pickle.dumps(error))
    assert type(sent) is kind and str(sent) == "rewards[3] must be finite, got inf"
    assert (sent.status, sent.index) == ("V05_STATUS_INVALID_REWARD", 3)


def test_a_missing_extra_is_sent_whole():
    sent = pickle.loads(pickle.dumps(v05.MissingExtra("v05 noise (torch)", "noise")))
    assert isinstance(sent, ImportError) and isinstance(sent, v05.Error)
    assert str(sent) == "v05 noise (torch) needs packages that are not installed: pip install 'v05[noise]'"


def test_an_error_about_a_log_is_sent_whole():
    error = LogError("run.jsonl", 7, "no reward")
    sent = pickle.loads(pickle.dumps(error))
    assert type(sent) is LogError and str(sent) == str(error)
