"""Layouts are found, damaged files refused by name, segments hold speech and are spread over speakers."""

import errno
import os
import pickle
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.faults import sources as faults
from database.on_error import OnError
from database.recordings import is_clipped, read_audio, read_mono
from database.sources import (
    FolderSource,
    Recording,
    choose_noises,
    draw_segments,
    loud_starts,
    noise_source,
    speech_source,
)

FS = 16000


def tone(duration=1.0, fs=FS, frequency=440.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(duration * fs)) / fs)


def write(path: Path, samples, fs=FS, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, fs, **options)
    return path


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def talk(rng, duration, fs=FS):
    """Noise with a pause of 0.3 s each second."""
    signal = 0.1 * rng.standard_normal(round(duration * fs))
    return signal * (np.arange(len(signal)) % fs >= 0.3 * fs)


@pytest.fixture
def librispeech(tmp_path):
    """Three speakers in two subsets, two files each, 3 s long."""
    rng = np.random.default_rng(0)
    for subset, speaker in [("dev-clean", "84"), ("dev-clean", "174"), ("test-clean", "61")]:
        for number in range(2):
            name = f"LibriSpeech/{subset}/{speaker}/1001/{speaker}-1001-000{number}.flac"
            write(tmp_path / name, talk(rng, 3.0))
    (tmp_path / "LibriSpeech/SPEAKERS.TXT").write_text("; ID | SEX", encoding="utf-8")
    return tmp_path / "LibriSpeech"


@pytest.fixture
def esc50(tmp_path):
    """Two types with four clips of three recordings each."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for target, category in enumerate(["dog", "rain"]):
        for source, take in [(100, "A"), (100, "B"), (200, "A"), (300, "A")]:
            name = f"1-{source + target}-{take}-{target}.wav"
            write(tmp_path / "ESC-50/audio" / name, tone(frequency=200 + source + target))
            lines.append(f"{name},1,{target},{category},True,{source + target},{take}")
    table = tmp_path / "ESC-50/meta/esc50.csv"
    table.parent.mkdir()
    table.write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "ESC-50"


class TestLayouts:
    @pytest.mark.parametrize("below", ["..", ".", "dev-clean", "dev-clean/84"])
    def test_librispeech_is_found_from_any_level(self, librispeech, below):
        source = speech_source(librispeech / below)
        speakers = {recording.label for recording in source.recordings}
        assert source.kind == "LibriSpeech"
        assert speakers == {
            "..": {"84", "174", "61"},
            ".": {"84", "174", "61"},
            "dev-clean": {"84", "174"},
        }.get(below, {"84"})
        assert all(recording.origin == recording.label for recording in source.recordings)
        assert len(source.read(source.recordings[0], FS)) == 3 * FS

    def test_esc50_is_read_through_its_table(self, esc50):
        write(esc50 / "audio/not-listed.wav", tone())
        source = noise_source(esc50)
        assert source.kind == "ESC-50"
        assert Counter(recording.label for recording in source.recordings) == {"dog": 4, "rain": 4}
        assert {r.origin for r in source.recordings if r.label == "dog"} == {"100", "200", "300"}

    def test_esc50_may_have_been_converted(self, esc50):
        for path in (esc50 / "audio").glob("*.wav"):
            samples, fs = soundfile.read(path)
            write(path.with_suffix(".flac"), samples, fs)
            path.unlink()
        source = noise_source(esc50)
        assert source.recordings[0].file.endswith(".flac")
        assert len(source.read(source.recordings[0], FS)) == FS

    def test_esc50_reports_what_is_missing(self, esc50):
        (esc50 / "audio/1-200-A-0.wav").unlink()
        with pytest.raises(FileNotFoundError, match=r"lists 1 files that .*audio lacks: 1-200-A-0\.wav"):
            noise_source(esc50)

    def test_esc50_table_cannot_lead_elsewhere(self, esc50):
        write(esc50.parent / "secret.wav", tone())
        with (esc50 / "meta/esc50.csv").open("a", encoding="utf-8") as table:
            table.write("\n../../secret.wav,1,0,dog,True,9,A")
        with pytest.raises(FileNotFoundError, match="secret"):
            noise_source(esc50)

    def test_esc50_table_without_columns(self, esc50):
        (esc50 / "meta/esc50.csv").write_text("file,class\na.wav,dog\n", encoding="utf-8")
        with pytest.raises(
            ValueError, match=r"esc50\.csv .*lacks the columns \['category', 'filename', 'src_file'\]"
        ):
            noise_source(esc50)

    def test_esc50_table_with_a_cut_row(self, esc50):
        with (esc50 / "meta/esc50.csv").open("a", encoding="utf-8") as table:
            table.write("\n1-100-A-0.wav,1,0")
        with pytest.raises(ValueError, match=r"esc50\.csv, row 10 .*: expected"):
            noise_source(esc50)

    @pytest.mark.parametrize("row", [b'\n"1-100-A-0.wav,1,0', b"\n1-100-A-0.wav,1,0,caf\xe9,True,9,A"])
    def test_esc50_table_that_is_no_table(self, esc50, row):
        with (esc50 / "meta/esc50.csv").open("ab") as table:
            table.write(row)
        with pytest.raises(ValueError, match=r"esc50\.csv cannot be read: expected a CSV table in UTF-8"):
            noise_source(esc50)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders, and links for few")
    def test_only_files_are_recordings(self, tmp_path):
        write(tmp_path / "ann/a.wav", tone())
        (tmp_path / "ann/take1.wav").mkdir()
        os.mkfifo(tmp_path / "ann/pipe.wav")
        (tmp_path / "ann/gone.wav").symlink_to(tmp_path / "gone.wav")
        assert [r.file for r in speech_source(tmp_path).recordings] == ["ann/a.wav", "ann/gone.wav"]
        (tmp_path / "bob").symlink_to(tmp_path / "ann", target_is_directory=True)
        with pytest.raises(ValueError, match="holds bob, a link to a folder"):
            speech_source(tmp_path)

    def test_a_folder_that_cannot_be_read_is_not_left_out(self, tmp_path, monkeypatch):
        for name in ("ann/a.wav", "bob/b.wav", ".hidden/c.wav"):
            write(tmp_path / name, tone())
        scandir = os.scandir

        def locked(folder):
            if Path(folder).name in ("bob", ".hidden"):
                raise PermissionError(errno.EACCES, "Permission denied", str(folder))
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", locked)
        with pytest.raises(PermissionError, match="bob"):
            speech_source(tmp_path)

    def test_librispeech_with_other_audio_is_refused(self, librispeech):
        write(librispeech / "mine.wav", tone())
        with pytest.raises(ValueError, match=r"LibriSpeech, such as .*\.flac, and other audio, such as mine"):
            speech_source(librispeech)

    def test_any_folder_will_do(self, tmp_path):
        for name in ["ann/a.wav", "ann/deep/b.flac", "bob/c.ogg", ".hidden/d.wav", "ann/._a.wav"]:
            write(
                tmp_path / name, tone(), format=None if name.endswith("wav") else name[-4:].strip(".").upper()
            )
        (tmp_path / "README.txt").write_text("not audio", encoding="utf-8")
        speech, noise = speech_source(tmp_path), noise_source(tmp_path)
        assert speech.kind == noise.kind == "folder"
        assert [r.file for r in speech.recordings] == ["ann/a.wav", "ann/deep/b.flac", "bob/c.ogg"]
        assert (
            [r.label for r in speech.recordings]
            == [r.label for r in noise.recordings]
            == ["ann", "ann", "bob"]
        )
        assert [r.origin for r in speech.recordings] == ["ann", "ann", "bob"]
        assert [r.origin for r in noise.recordings] == [r.file for r in noise.recordings]

    def test_a_name_alone_does_not_make_librispeech(self, tmp_path):
        write(tmp_path / "ann/monday/84-1001-0000.flac", tone())
        assert speech_source(tmp_path).kind == "folder"

    def test_files_without_a_sub_folder_belong_to_the_folder(self, tmp_path):
        write(tmp_path / "me/a.wav", tone())
        assert speech_source(tmp_path / "me").recordings == (Recording("a.wav", "me", "me"),)

    def test_swapped_speech_and_noise_are_refused(self, librispeech, esc50):
        with pytest.raises(ValueError, match=r"holds ESC-50.*did you swap"):
            speech_source(esc50)
        with pytest.raises(ValueError, match=r"holds LibriSpeech.*did you swap"):
            noise_source(librispeech)

    @pytest.mark.parametrize("find", [speech_source, noise_source])
    def test_folders_without_audio_are_refused(self, tmp_path, find):
        with pytest.raises(ValueError, match="holds no audio files"):
            find(tmp_path)
        with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
            find(tmp_path / "nowhere")

    def test_a_colon_is_a_drive_on_windows_alone(self, tmp_path, monkeypatch):
        write(tmp_path / "ann" / "a.wav", tone())
        source = FolderSource("folder", tmp_path, ())
        with pytest.raises(FileNotFoundError):
            source.read(Recording("12:30.wav", "", ""), FS)
        monkeypatch.setattr("os.name", "nt")
        with pytest.raises(ValueError, match=r"'12:30\.wav' is not a path inside"):
            source.read(Recording("12:30.wav", "", ""), FS)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode, and have no backslash")
    @pytest.mark.parametrize("name", [b"caf\xe9.wav", b"a\\b.wav"])
    def test_names_that_a_plan_cannot_hold_are_refused(self, tmp_path, name):
        path = tmp_path / os.fsdecode(name)
        write(tmp_path / "a.wav", tone()).rename(path)
        with pytest.raises(ValueError, match=r"holds '.*\.wav': expected names in UTF-8") as refused:
            speech_source(tmp_path)
        str(refused.value).encode()

    @pytest.mark.parametrize("name", ["", "../a.wav", "/etc/hosts", "x/../../a.wav", "..\\a.wav"])
    def test_a_foreign_plan_cannot_read_elsewhere(self, tmp_path, name):
        write(tmp_path / "a.wav", tone())
        source = FolderSource("folder", tmp_path / "inside", ())
        with pytest.raises(ValueError, match=f"{re.escape(repr(name))} is not a path inside"):
            source.read(Recording(name, "x", "x"), FS)

    def test_a_source_survives_the_way_to_a_worker(self, librispeech):
        source = speech_source(librispeech)
        copy = pickle.loads(pickle.dumps(source))
        assert copy == source
        np.testing.assert_array_equal(
            copy.read(copy.recordings[1], 8000), source.read(source.recordings[1], 8000)
        )

    def test_a_checksum_is_that_of_the_file(self, tmp_path):
        path = tmp_path / "x/a.wav"
        path.parent.mkdir()
        path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
        source = speech_source(tmp_path)
        assert source.checksum(source.recordings[0]).startswith("ba7816bf8f01cfea414140de5dae2223")


class TestReading:
    @pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
    def test_sample_formats(self, tmp_path, subtype):
        path = write(tmp_path / "a.wav", tone(), subtype=subtype)
        step = {"PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-23}.get(subtype, 2**-24)
        np.testing.assert_allclose(read_mono(path, FS), tone(), atol=step)

    @pytest.mark.parametrize("fs", [8000, 11025, 22050, 32000, 44100, 48000, 96000])
    def test_sampling_rates(self, tmp_path, fs):
        samples = read_mono(write(tmp_path / "a.wav", tone(1.0, fs), fs), FS)
        assert len(samples) == FS
        inner = slice(1000, -1000)
        np.testing.assert_allclose(samples[inner], tone()[inner], atol=1e-3)

    @pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff", "au", "caf", "w64"])
    def test_containers(self, tmp_path, suffix):
        samples = read_mono(write(tmp_path / f"a.{suffix}", tone()), FS)
        assert samples[2000:14000].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.02)

    def test_stereo_is_averaged(self, tmp_path):
        stereo = np.stack([tone(), 0.5 * tone(frequency=1000.0)], axis=1)
        path = write(tmp_path / "a.wav", stereo, subtype="DOUBLE")
        np.testing.assert_allclose(read_mono(path, FS), stereo.mean(axis=1), atol=1e-12)

    @pytest.mark.parametrize("offset", [0.2, -0.02])
    def test_an_offset_of_the_zero_line_is_no_sound(self, tmp_path, offset):
        samples = tone(amplitude=0.1)
        path = write(tmp_path / "offset.wav", samples + offset, subtype="DOUBLE")
        np.testing.assert_allclose(read_mono(path, FS), samples, atol=1e-4)

    def test_a_slight_offset_is_left_as_it_is(self, tmp_path):
        samples = tone(amplitude=0.1) + 0.01
        path = write(tmp_path / "offset.wav", samples, subtype="DOUBLE")
        np.testing.assert_array_equal(read_mono(path, FS), samples)

    def test_of_a_long_file_the_first_minute_is_read(self, tmp_path):
        path = write(tmp_path / "a.flac", tone(61.0, 8000), 8000)
        assert len(read_mono(path, 8000)) == 60 * 8000

    def test_reading_twice_gives_the_same_bits(self, tmp_path):
        path = write(tmp_path / "a.ogg", tone(1.0, 44100), 44100)
        np.testing.assert_array_equal(read_mono(path, FS), read_mono(path, FS))

    def test_a_length_that_was_never_filled_in_is_no_damage(self, tmp_path):
        path = write(tmp_path / "a.wav", tone(), subtype="PCM_16")
        content = bytearray(path.read_bytes())
        at = content.index(b"data") + 4
        content[4:8] = content[at : at + 4] = b"\xff" * 4
        path.write_bytes(content)
        assert len(read_mono(path, FS)) == FS

    def test_a_rate_in_khz_is_refused(self, tmp_path):
        path = write(tmp_path / "a.wav", tone())
        with pytest.raises(ValueError, match=r"fs is 16 Hz.*did you give kHz"):
            read_mono(path, 16)


class TestDamage:
    @pytest.mark.parametrize("share", [0.5, 0.99])
    @pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "caf", "nist", "ogg", "rf64", "mp3", "w64"])
    def test_truncated(self, tmp_path, suffix, share):
        path = cut(write(tmp_path / f"a.{suffix}", tone(2.0), format=suffix.upper()), share)
        with pytest.raises(ValueError, match=rf"a\.{suffix} is truncated"):
            read_mono(path, FS)

    @pytest.mark.parametrize("suffix", ["flac", "mp3"])
    @pytest.mark.parametrize("duration", [2.0, 62.0])
    def test_truncated_in_what_is_read_or_after_it(self, tmp_path, suffix, duration):
        path = write(tmp_path / f"a.{suffix}", talk(np.random.default_rng(0), duration, 8000), 8000)
        with pytest.raises(ValueError, match=rf"a\.{suffix} (is truncated|cannot be read)"):
            read_mono(cut(path, 0.985), 8000)

    @pytest.mark.parametrize(
        ("container", "subtype"), [("WAV", "IMA_ADPCM"), ("NIST", "ULAW"), ("CAF", "ALAC_16")]
    )
    def test_truncated_where_bytes_are_no_samples(self, tmp_path, container, subtype):
        path = write(tmp_path / "a.wav", tone(2.0), format=container, subtype=subtype)
        assert len(read_mono(path, FS)) >= 2 * FS
        with pytest.raises(ValueError, match=r"a\.wav is truncated"):
            read_mono(cut(path, 0.98), FS)

    @pytest.mark.parametrize("container", ["VOC", "SVX", "AVR"])
    def test_containers_whose_files_may_be_truncated_unseen_are_refused(self, tmp_path, container):
        path = write(tmp_path / "a.wav", tone(), format=container)
        with pytest.raises(ValueError, match=r"a\.wav is .*, expected one of WAV, .*FLAC"):
            read_mono(path, FS)

    def test_a_chunk_of_samples_that_never_comes(self, tmp_path):
        (tmp_path / "a.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + bytes(80_000))
        with pytest.raises(ValueError, match=r"a\.wav cannot be read as audio"):
            read_mono(tmp_path / "a.wav", FS)

    def test_more_samples_than_the_memory_holds(self, tmp_path):
        path = write(tmp_path / "a.flac", talk(np.random.default_rng(0), 2.0))
        content = bytearray(path.read_bytes())
        content[21] |= 0x0F  # of 36 bits, the number of samples in STREAMINFO (RFC 9639, section 8.2)
        content[22:26] = b"\xff" * 4
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"a\.flac (declares|is truncated: it declares) 68719476735 samples"
        ):
            read_audio(path)

    def test_a_flac_file_without_a_length(self, tmp_path):
        path = write(tmp_path / "a.flac", tone())
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.flac declares no number of samples"):
            read_mono(path, FS)

    def test_an_ogg_file_without_its_last_page(self, tmp_path):
        path = write(tmp_path / "a.ogg", tone(2.0))
        content = path.read_bytes()
        path.write_bytes(content[: content.rindex(b"OggS")])
        with pytest.raises(ValueError, match=r"a\.ogg is truncated: its last Ogg page is missing"):
            read_mono(path, FS)

    def test_a_wave_with_chunks_before_its_samples(self, tmp_path):
        path = write(tmp_path / "a.wav", tone())
        content = path.read_bytes()
        at = content.index(b"data")
        path.write_bytes(content[:at] + b"note\x03\0\0\0abc\0" + content[at:])
        assert len(read_mono(path, FS)) == FS
        with pytest.raises(ValueError, match="is truncated: it declares 32000 bytes of samples and holds 31"):
            read_mono(cut(path, 0.99), FS)

    def test_empty(self, tmp_path):
        (tmp_path / "a.wav").touch()
        with pytest.raises(ValueError, match=r"a\.wav is empty"):
            read_mono(tmp_path / "a.wav", FS)

    def test_header_only(self, tmp_path):
        path = write(tmp_path / "a.wav", np.zeros(0))
        with pytest.raises(ValueError, match=r"a\.wav holds no samples"):
            read_mono(path, FS)

    def test_header_that_promises_samples(self, tmp_path):
        path = write(tmp_path / "a.wav", tone(), subtype="PCM_16")
        path.write_bytes(path.read_bytes()[:44])
        with pytest.raises(
            ValueError, match=r"a\.wav is truncated: it declares 32000 bytes of samples and holds 0"
        ):
            read_mono(path, FS)

    @pytest.mark.parametrize("level", [0.0, 0.25])
    def test_silent(self, tmp_path, level):
        path = write(tmp_path / "a.wav", np.full(FS, level))
        with pytest.raises(ValueError, match=r"a\.wav is silent"):
            read_mono(path, FS)

    def test_channels_that_cancel(self, tmp_path):
        path = write(tmp_path / "a.wav", np.stack([tone(), -tone()], axis=1), subtype="FLOAT")
        with pytest.raises(ValueError, match=r"a\.wav is silent \(or its channels cancel"):
            read_mono(path, FS)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
    def test_not_finite(self, tmp_path, value):
        samples = tone()
        samples[7] = value
        path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
        with pytest.raises(
            ValueError, match=r"a\.wav holds 1 samples that are NaN, infinite or above 1e\+10"
        ):
            read_mono(path, FS)

    @pytest.mark.parametrize(
        "content", [b"RIFF", b"no audio at all, but text", b"\0" * 5000, b"OggS", b"fLaC" * 9]
    )
    def test_not_audio(self, tmp_path, content):
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.wav (cannot be read as audio|is truncated)"):
            read_mono(tmp_path / "a.wav", FS)

    def test_absent(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"a\.wav"):
            read_mono(tmp_path / "a.wav", FS)

    def test_absurd_rate(self, tmp_path):
        path = write(tmp_path / "a.wav", tone(), 1)
        with pytest.raises(ValueError, match=r"a\.wav fs is 1 Hz"):
            read_mono(path, FS)

    @settings(deadline=None)
    @given(st.binary(max_size=300))
    def test_whatever_a_file_holds_it_is_refused_by_name(self, tmp_path_factory, content):
        path = tmp_path_factory.mktemp("any") / "a.wav"
        path.write_bytes(b"RIFF" + content)
        with pytest.raises(ValueError, match=r"a\.wav"):
            read_mono(path, FS)

    def test_segments_name_the_damaged_file(self, librispeech):
        cut(librispeech / "test-clean/61/1001/61-1001-0001.flac", 0.5)
        with pytest.raises(ValueError, match=r"61-1001-0001\.flac"):
            draw_segments(speech_source(librispeech), 12, FS, 1.0, np.random.default_rng(0))


class TestClipping:
    @pytest.mark.parametrize(("gain", "clipped"), [(0.99, False), (1.5, True), (-1.5, True)])
    def test_tops_cut_off_and_tops_that_just_fit(self, gain, clipped):
        assert is_clipped(np.clip(gain * tone(amplitude=1.0), -1, 1)[:, None]) is clipped

    def test_what_lossy_formats_have_beyond_full_scale_counts(self):
        assert is_clipped(1.5 * tone(amplitude=1.0)[:, None])

    def test_equal_samples_below_full_scale_and_a_single_peak_do_not_count(self):
        assert not is_clipped(np.clip(1.5 * tone(amplitude=1.0), -0.9, 0.9)[:, None])
        assert not is_clipped(np.r_[np.zeros(99), 1.0, np.zeros(99)][:, None])

    def test_clipped_recordings_are_named_before_the_build(self, tmp_path):
        speech, noise = faults.write_sources(tmp_path, np.random.default_rng(0))
        write(noise / "rain/1.wav", np.clip(3 * tone(2.0, 8000), -1, 1), 8000)
        with pytest.warns(UserWarning, match=r"^1 of 9 noise recordings are clipped: rain/1\.wav$"):
            faults.small_plan(speech, noise, 3)

    def test_both_channels_are_looked_at(self):
        stereo = np.stack([0.5 * tone(), np.clip(3 * tone(), -1, 1)], axis=1)
        assert is_clipped(stereo) and not is_clipped(stereo[:, :1])


class TestOnError:
    def test_a_bad_recording_is_left_out_once_and_the_rest_stays(self, librispeech):
        source, bad = speech_source(librispeech), "test-clean/61/1001/61-1001-0001.flac"
        cut(librispeech / bad, 0.5)
        on_error = OnError(skip=True)
        segments = draw_segments(source, 20, FS, 1.0, np.random.default_rng(0), on_error)
        assert [(reject.what, reject.name) for reject in on_error.rejects] == [("speech", bad)]
        assert "cannot be read" in on_error.rejects[0].why
        assert len(segments) == 20 and bad not in {segment.file for segment in segments}

    def test_a_recording_silent_but_for_its_last_samples_is_left_out_by_name(self, tmp_path):
        click = np.zeros(FS + 50)
        click[-10:] = 0.5
        for name in ("ann/a.wav", "ben/b.wav"):
            write(tmp_path / name, tone())
        write(tmp_path / "eve/click.wav", click)
        source, on_error = speech_source(tmp_path), OnError(skip=True)
        segments = draw_segments(source, 2, FS, 1.0, np.random.default_rng(0), on_error)
        assert {segment.file for segment in segments} == {"ann/a.wav", "ben/b.wav"}
        assert [reject.name for reject in on_error.rejects] == ["eve/click.wav"]
        with pytest.raises(ValueError, match=r"eve/click\.wav: the signal is silent"):
            draw_segments(source, 3, FS, 1.0, np.random.default_rng(0))

    def test_too_few_that_are_left_are_counted(self, librispeech):
        for path in librispeech.rglob("*.flac"):
            path.write_bytes(b"")
        with pytest.raises(
            ValueError, match=r"speakers give 0, .*; 6 were left out, the first since .* is empty"
        ):
            draw_segments(
                speech_source(librispeech), 3, FS, 1.0, np.random.default_rng(0), OnError(skip=True)
            )

    def test_the_machines_fault_is_never_left_out(self):
        with pytest.raises(PermissionError):
            OnError(skip=True)("noise", "a.wav", PermissionError(errno.EACCES, "not allowed", "a.wav"))

    def test_noises_that_are_not_usable_give_way_to_others_of_their_type(self, esc50):
        source = noise_source(esc50)
        chosen = choose_noises(source, 2, 3, np.random.default_rng(0))
        others = choose_noises(source, 2, 3, np.random.default_rng(0), lambda noise: noise != chosen[0])
        assert chosen[0] not in others and others[3:] == chosen[3:]
        assert Counter(noise.label for noise in others) == {"dog": 3, "rain": 3}
        with pytest.raises(
            ValueError, match="'dog': 3 recordings were asked for, 2 of the 4 that exist can be used"
        ):
            choose_noises(
                source, 2, 3, np.random.default_rng(0), lambda noise: noise.origin not in ("200", "300")
            )


@pytest.mark.parametrize(
    ("scenario", "n"),
    [
        (faults.bad_recordings, 2 * len(faults.FLAWS)),
        (faults.good_recordings, 100),
        (faults.clipped_recordings, 10),
        (faults.skipped_sources, 1),
    ],
)
def test_what_is_promised_of_recordings(tmp_path, scenario, n):
    outcome = scenario(tmp_path, n)
    assert (outcome.kept, outcome.tried) == (n, n), outcome.notes


class TestLoudStarts:
    def test_silence_is_left_out(self):
        signal = np.concatenate([np.zeros(2 * FS), tone(2.0), np.zeros(2 * FS)])
        starts = loud_starts(signal, FS, 1.0)
        assert starts.min() == pytest.approx(1.5 * FS, abs=0.02 * FS)
        assert starts.max() == pytest.approx(3.5 * FS, abs=0.02 * FS)

    def test_faint_noise_and_an_offset_of_the_zero_line_are_silence(self):
        signal = np.concatenate([tone(2.0), np.zeros(3 * FS)])
        signal += 0.2 + 0.003 * np.random.default_rng(0).standard_normal(len(signal))
        assert loud_starts(signal, FS, 1.0).max() <= 1.52 * FS

    def test_a_single_click_is_found(self):
        signal = np.zeros(5 * FS)
        signal[3 * FS] = 1.0
        starts = loud_starts(signal, FS, 1.0)
        assert len(starts) == 100
        assert np.all((starts <= 3 * FS) & (starts + FS > 3 * FS))

    def test_a_signal_as_long_as_the_window(self):
        assert loud_starts(tone(), FS, 1.0).tolist() == [0]

    @settings(deadline=None)
    @given(
        st.lists(st.floats(0, 1), min_size=1, max_size=60),
        st.integers(8000, 96000),
        st.floats(0.001, 0.6),
    )
    def test_windows_fit_and_hold_sound(self, levels, fs, duration):
        levels[0] = 1.0
        signal = np.repeat(levels, round(0.01 * fs)) * np.random.default_rng(0).standard_normal(
            len(levels) * round(0.01 * fs)
        )
        width = round(duration * fs)
        if width > len(signal):
            with pytest.raises(ValueError, match="does not fit"):
                loud_starts(signal, fs, duration)
            return
        starts = loud_starts(signal, fs, duration)
        assert len(starts) > 0
        assert np.all(np.diff(starts) > 0)
        assert starts[0] >= 0
        assert starts[-1] + width <= len(signal)
        assert all(signal[start : start + width].any() for start in starts)

    @settings(deadline=None)
    @given(st.floats(1e-6, 1e6))
    def test_the_gate_follows_the_level(self, gain):
        signal = talk(np.random.default_rng(1), 4.0)
        np.testing.assert_array_equal(loud_starts(gain * signal, FS, 0.5), loud_starts(signal, FS, 0.5))

    def test_silence_has_none(self):
        with pytest.raises(ValueError, match="silent"):
            loud_starts(np.zeros(FS), FS, 0.5)


class TestSegments:
    def test_spread_over_speakers_and_apart(self, librispeech):
        segments = draw_segments(speech_source(librispeech), 12, FS, 1.0, np.random.default_rng(0))
        assert Counter(segment.label for segment in segments) == {"84": 4, "174": 4, "61": 4}
        assert len({segment.label for segment in segments[:3]}) == 3
        assert apart(segments, FS)

    def test_the_seed_decides(self, librispeech):
        source = speech_source(librispeech)
        first, again, other = (draw_segments(source, 9, FS, 1.0, np.random.default_rng(k)) for k in (1, 1, 2))
        assert first == again
        assert first != other

    def test_a_speaker_with_little_gives_what_there_is(self, tmp_path):
        rng = np.random.default_rng(0)
        write(tmp_path / "brief/a.wav", talk(rng, 1.2))
        write(tmp_path / "long/a.wav", talk(rng, 20.0))
        segments = draw_segments(speech_source(tmp_path), 10, FS, 1.0, rng)
        assert Counter(segment.label for segment in segments) == {"brief": 1, "long": 9}
        assert apart(segments, FS)

    @settings(deadline=None)
    @given(st.integers(0, 2**32), st.integers(2, 12))
    def test_as_many_fit_side_by_side_as_can(self, seed, n_clips):
        class Steady(FolderSource):
            def read(self, recording, fs):
                return np.random.default_rng(0).standard_normal(round(n_clips * fs))

        source = Steady("folder", Path(), (Recording("a", "a", "a"),))
        segments = draw_segments(source, n_clips, 1000, 1.0, np.random.default_rng(seed))
        assert sorted(segment.start for segment in segments) == list(range(0, 1000 * n_clips, 1000))

    def test_overlap_comes_last(self, tmp_path):
        rng = np.random.default_rng(0)
        write(tmp_path / "ann/a.wav", 0.1 * rng.standard_normal(2 * FS))
        segments = draw_segments(speech_source(tmp_path), 6, FS, 1.0, rng)
        starts = sorted(segment.start for segment in segments)
        assert apart(segments[:2], FS)
        assert min(np.diff(starts)) >= 0.1 * FS

    def test_too_many_are_refused(self, librispeech):
        with pytest.raises(ValueError, match=r"1000 segments of 1 s .* the 6 recordings of 3 speakers"):
            draw_segments(speech_source(librispeech), 1000, FS, 1.0, np.random.default_rng(0))
        with pytest.raises(ValueError, match="speakers give 0"):
            draw_segments(speech_source(librispeech), 1, FS, 4.0, np.random.default_rng(0))

    @pytest.mark.parametrize(("n_clips", "duration"), [(0, 1.0), (3, 0.0), (3, np.nan)])
    def test_nonsense_is_refused(self, librispeech, n_clips, duration):
        with pytest.raises(ValueError, match="expected both above 0"):
            draw_segments(speech_source(librispeech), n_clips, FS, duration, np.random.default_rng(0))


class TestNoises:
    @pytest.mark.parametrize("seed", range(5))
    def test_every_origin_comes_before_any_comes_twice(self, esc50, seed):
        chosen = choose_noises(noise_source(esc50), 2, 3, np.random.default_rng(seed))
        assert Counter(noise.label for noise in chosen) == {"dog": 3, "rain": 3}
        assert len({noise.origin for noise in chosen}) == 6

    def test_all_there_are(self, esc50):
        source = noise_source(esc50)
        assert sorted(choose_noises(source, 2, 4, np.random.default_rng(0))) == sorted(source.recordings)

    def test_by_name_and_at_random(self, esc50):
        source = noise_source(esc50)
        assert {n.label for n in choose_noises(source, ["rain"], 2, np.random.default_rng(0))} == {"rain"}
        drawn = {choose_noises(source, 1, 2, np.random.default_rng(k))[0].label for k in range(20)}
        assert drawn == {"dog", "rain"}

    @pytest.mark.parametrize(
        ("types", "n_files", "match"),
        [
            (
                3,
                2,
                r"3 types of noise with 2 recordings each .*, 2 have as many: dog \(4\), rain \(4\)",
            ),
            (1, 5, "0 have as many"),
            (["dog"], 5, "'dog': 5 recordings were asked for, 4 exist"),
            (["cat"], 1, r"'cat': 1 recordings were asked for, 0 exist; the types are dog \(4\), rain \(4\)"),
            ("dog", 1, "the one string 'dog'"),
            (["dog", "dog"], 1, "each once"),
        ],
    )
    def test_what_does_not_exist_is_refused(self, esc50, types, n_files, match):
        with pytest.raises(ValueError, match=match):
            choose_noises(noise_source(esc50), types, n_files, np.random.default_rng(0))


class TestRealRecordings:
    def test_segments_of_librispeech(self, shared):
        source = speech_source(shared / "data/LibriSpeech")
        segments = draw_segments(source, 700, FS, 1.0, np.random.default_rng(0))
        counts = Counter(segment.label for segment in segments)
        assert set(counts) == {recording.label for recording in source.recordings}
        assert max(counts.values()) - min(counts.values()) <= 1
        assert apart(segments, FS)
        for segment in segments[::10]:
            signal = source.read(Recording(*segment[:3]), FS)
            clip = signal[segment.start : segment.start + FS]
            assert len(clip) == FS
            assert clip.std() > 0.1 * signal.std()

    def test_one_subset_of_librispeech(self, shared):
        whole, source = (
            speech_source(shared / "data" / name) for name in ("LibriSpeech", "LibriSpeech/test-clean")
        )
        assert source.kind == "LibriSpeech"
        assert len({recording.label for recording in source.recordings}) > 10
        assert len(source.recordings) < len(whole.recordings)

    def test_noises_of_esc50(self, shared):
        source = noise_source(shared / "data/ESC-50")
        assert len(source.recordings) == len(list((shared / "data/ESC-50/audio").glob("*.*")))
        chosen = choose_noises(source, 10, 20, np.random.default_rng(0))
        assert Counter(Counter(noise.label for noise in chosen).values()) == {20: 10}
        for noise in chosen[::20]:
            signal = source.read(noise, FS)
            starts = loud_starts(signal, FS, 1.0)
            assert all(signal[start : start + FS].any() for start in starts[::50])


def apart(segments, width) -> bool:
    """Whether no two segments overlap."""
    starts: dict[str, list[int]] = {}
    for segment in segments:
        starts.setdefault(segment.file, []).append(segment.start)
    return all(np.all(np.diff(sorted(same)) >= width) for same in starts.values())
