from __future__ import annotations

import io
import math
import re
import tomllib
from fractions import Fraction
from importlib import resources
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_streams import (
    CONDITIONS,
    FPS,
    FRAMES,
    PROFILES,
    SIZE,
    STEADY,
    decoded,
    encoded,
    ffmpeg,
    pictures,
    source,
    steady,
    try_encode,
)

from rdbench.codecs.arguments import (
    Pictures,
    check_rate,
    coded_size,
    encode_arguments,
    key_distance_of,
    mode_of,
    pass_numbers,
    rate_status,
    refused,
)
from rdbench.codecs.bitstream import count
from rdbench.codecs.headers import read_headers
from rdbench.codecs.profiles import (
    DEFAULT_VARIANT,
    Profile,
    load_profiles,
    parse_profile,
)
from rdbench.errors import InputError

SHIPPED = {
    entry.name.removesuffix(".toml"): entry.read_text()
    for entry in (resources.files("rdbench") / "profiles").iterdir()
    if entry.name.endswith(".toml")
}
X264 = SHIPPED["x264"]


def arguments(profile: Profile, mode: str = "abr", rate: float = 30, **changes: object) -> list[str]:
    size = {"width": 64, "height": 64, "fps": Fraction(25), "frames": 50}
    size |= {name: changes.pop(name) for name in size if name in changes}
    return encode_arguments(profile, Pictures(**size), mode=mode, rate=rate, **changes)  # type: ignore[arg-type]


def test_seven_encoders_ship_under_their_files_names_with_both_variants():
    assert set(SHIPPED) == {"x264", "x265", "kvazaar", "svtav1", "libaom", "vp9", "vvenc"}
    assert set(PROFILES) == set(SHIPPED)
    for profile in PROFILES.values():
        assert {"ra", "ld"} <= set(profile.variants) <= {"ra", "ld", "ra-visual", "ld-visual"}
        assert profile.origin == "shipped"


# Groups of pictures as they really are: time stamps and key flags of the packets that the encoder hands out.


def packets(name: str, variant: str) -> list[av.Packet]:
    with av.open(io.BytesIO(encoded(name, variant, steady(name, variant), muxer="mp4"))) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def frame_headers(stream: bytes, format: str) -> list[list[tuple[bool, bool, bool]]]:
    """Of each AV1 temporal unit or VP9 packet: (shown again, key, shown) of each frame."""
    found: list[list[tuple[bool, bool, bool]]] = []
    if format == "ivf-vp9":
        for packet in ivf_packets(stream):
            sizes = [len(packet)]
            if packet[-1] >> 5 == 6:
                bytes_each, number = (packet[-1] >> 3) % 4 + 1, packet[-1] % 8 + 1
                index = packet[-1 - bytes_each * number : -1]
                sizes = [
                    int.from_bytes(index[i::1][:bytes_each], "little")
                    for i in range(0, len(index), bytes_each)
                ]
            found.append([])
            at = 0
            for size in sizes:
                # Profile 0: marker (2), profile (2), show_existing_frame, frame_type, show_frame
                bits = f"{packet[at]:08b}"
                assert bits[:4] == "1000"
                found[-1].append((bits[4] == "1", bits[4:6] == "00", bits[6] == "1"))
                at += size
        return found
    for chunk in [stream] if format == "obu" else ivf_packets(stream):
        at = 0
        while at < len(chunk):
            kind = chunk[at] >> 3 & 15
            at += 1 + (chunk[at] >> 2 & 1)
            size = shift = 0
            while True:
                size |= (chunk[at] & 127) << shift
                shift += 7
                at += 1
                if chunk[at - 1] < 128:
                    break
            if kind == 2:
                found.append([])
            if kind in (3, 6):
                bits = f"{chunk[at]:08b}"
                found[-1].append((bits[0] == "1", bits[:3] == "000", bits[3] == "1"))
            at += size
    return found


def ivf_packets(data: bytes) -> list[bytes]:
    found, at = [], 32
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 12 : at + 12 + size])
        at += 12 + size
    return found


def distance_of(profile: Profile, variant: str, fps: Fraction) -> int | None:
    """Frames from one key frame to the next, None where there is only the first."""
    settings = profile.variants[variant]
    return key_distance_of(settings, fps) if settings.key_seconds else None


@pytest.mark.parametrize(("name", "variant"), STEADY)
def test_key_frames_stand_where_the_variant_says_whatever_the_content_does(name, variant):
    sent = packets(name, variant)
    shown = sorted(packet.pts for packet in sent)
    assert len(shown) == len(set(shown)) == FRAMES
    keys = sorted(shown.index(packet.pts) for packet in sent if packet.is_keyframe)
    distance = distance_of(PROFILES[name], variant, FPS)
    assert keys == (list(range(0, FRAMES, distance)) if distance else [0])
    if distance:
        assert abs(distance - 2 * FPS) <= PROFILES[name].variants[variant].key_step / 2


@pytest.mark.parametrize(("name", "variant"), STEADY)
def test_pictures_are_reordered_or_hidden_only_where_the_variant_says(name, variant):
    times = [packet.pts for packet in packets(name, variant)]
    reordered = times != sorted(times)
    profile = PROFILES[name]
    if profile.format in ("obu", "ivf-av1", "ivf-vp9"):
        units = frame_headers(encoded(name, variant, steady(name, variant)), profile.format)
        assert len(units) == FRAMES
        reordered = any(unit != [(False, unit[0][1], True)] for unit in units)
    assert reordered == profile.variants[variant].reorders == variant.startswith("ra")


@pytest.mark.parametrize("name", PROFILES)
def test_groups_are_closed(name):
    profile = PROFILES[name]
    stream = encoded(name, "ra", steady(name, "ra"))
    sent = packets(name, "ra")
    # Nothing after a key frame is shown before it, and every key frame resets the decoder.
    latest_key = -math.inf
    for packet in sent:
        latest_key = packet.pts if packet.is_keyframe else latest_key
        assert packet.pts >= latest_key
    if profile.format in ("h264", "hevc", "vvc"):
        units = [unit for unit in stream.split(b"\0\0\1") if len(unit) > 2]
        if profile.format == "h264":
            resets = sum(unit[0] & 31 == 5 for unit in units)
        elif profile.format == "hevc":
            assert not any(unit[0] >> 1 == 21 for unit in units)
            resets = sum(unit[0] >> 1 in (19, 20) for unit in units)
        else:
            assert not any(unit[1] >> 3 == 9 for unit in units)
            resets = sum(unit[1] >> 3 in (7, 8) for unit in units)
    else:
        frames = [frame for unit in frame_headers(stream, profile.format) for frame in unit]
        assert all(shown for again, key, shown in frames if key and not again)
        resets = sum(key for _, key, _ in frames)
    assert (
        resets
        == sum(packet.is_keyframe for packet in sent)
        == math.ceil(FRAMES / distance_of(profile, "ra", FPS))
    )


# Bits are the same wherever they are made.


def with_param(name: str, **params: object) -> Profile:
    lines = "".join(f'{key} = "{value}"\n' for key, value in params.items())
    return parse_profile(SHIPPED[name].replace("[params]\n", f"[params]\n{lines}"))


@pytest.mark.long
@pytest.mark.parametrize("mode", ["abr", "2pass", "crf", "qp"])
@pytest.mark.parametrize(
    ("name", "sets"), [("x264", ("0", "SSE4.2", "AVX2")), ("x265", ("0", "SSE4", "AVX2"))]
)
def test_bits_do_not_depend_on_the_instruction_set(name, sets, mode):
    rate = 40 if mode in ("abr", "2pass") else 30
    streams = {try_encode(PROFILES[name], "ra", mode, rate)[0]}
    for asm in sets:
        stream, said = try_encode(with_param(name, asm=asm), "ra", mode, rate)
        if "not supported" not in said.lower():
            streams.add(stream)
    assert len(streams) == 1
    assert None not in streams


@pytest.mark.parametrize("name", PROFILES)
def test_encoding_again_gives_the_same_bits(name):
    mode = "2pass" if name == "vp9" else "abr"
    assert try_encode(PROFILES[name], "ra", mode, 40.0)[0] == encoded(name, "ra", mode)


# Sizes


@given(st.sampled_from(sorted(PROFILES)), st.integers(1, 5000), st.integers(1, 5000))
def test_coded_size_is_the_least_that_the_encoder_takes(name, width, height):
    profile = PROFILES[name]
    coded = coded_size(profile, width, height)
    for got, asked, least in zip(
        coded, (width, height), (profile.min_width, profile.min_height), strict=True
    ):
        assert got >= asked
        assert got >= least
        assert got % profile.multiple == 0
        assert got - profile.multiple < max(asked, least)
    assert coded_size(profile, *coded) == coded


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("asked", [(2, 2), (2, 90), (90, 2), (34, 20)])
def test_smallest_pictures_come_back_whole(name, asked):
    profile = PROFILES[name]
    width, height = coded_size(profile, *asked)
    mode = steady(name, "ra")
    grid = mode_of(profile, mode).grid
    stream, said = try_encode(
        profile, "ra", mode, grid[len(grid) // 2 + 1], width=width, height=height, frames=12
    )
    assert stream is not None, said[-1500:]
    assert len(decoded(stream, profile.suffix)) == 12 * width * height * 3 // 2
    assert len(count(stream, profile.format).frames) == 12


@pytest.mark.parametrize(("width", "height", "narrow"), [(62, 64, True), (64, 62, True), (64, 64, False)])
def test_small_pictures_keep_libx265_from_wide_instructions(width, height, narrow):
    params = arguments(PROFILES["x265"], width=width, height=height)
    assert any("asm=SSE4" in word for word in params) == narrow


# Rates


def test_bits_rise_with_the_target_and_fall_with_the_quantiser():
    for name in ("x264", "x265"):
        for mode, rates in {
            "abr": (20, 40, 80),
            "2pass": (20, 40, 80),
            "crf": (40, 33, 26),
            "qp": (40, 33, 26),
        }.items():
            sizes = [len(try_encode(PROFILES[name], "ra", mode, rate)[0] or b"") for rate in rates]
            assert sizes == sorted(set(sizes)), (name, mode)


@pytest.mark.parametrize(
    ("name", "mode", "size", "target", "status"),
    [
        ("x264", "abr", 16, 1, "floor"),
        ("x264", "abr", 64, 40, "ok"),
        ("x264", "2pass", 64, 40, "ok"),
        ("x264", "abr", 16, 1000, "ceiling"),
        ("x264", "2pass", 16, 1000, "ceiling"),
        ("x264", "qp", 64, 51, "ok"),
        ("x265", "abr", 64, 1, "floor"),
        ("x265", "2pass", 64, 1, "floor"),
        ("x265", "2pass", 64, 40, "ok"),
        ("x265", "abr", 16, 1000, "ceiling"),
        ("svtav1", "abr", 64, 1, "missed"),
    ],
)
def test_rate_status_of_real_encodes(tmp_path, name, mode, size, target, status):
    profile = PROFILES[name]
    stream, _ = try_encode(profile, "ra", mode, target, width=size, height=size, frames=100, fps=Fraction(25))
    assert stream is not None
    achieved = count(stream, profile.format).payload / 1000 / 4
    (tmp_path / "stream").write_bytes(stream)
    headers = read_headers(tmp_path / "stream", profile.format)
    qp = sum(picture.quantiser for picture in headers) / len(headers)
    assert rate_status(profile, mode, target, achieved, qp) == status, (achieved, qp)


@pytest.mark.parametrize(
    ("achieved", "status"), [(89.9, "missed"), (90.1, "ok"), (109.9, "ok"), (110.1, "missed")]
)
def test_a_tenth_off_is_missed(achieved, status):
    assert rate_status(PROFILES["x264"], "abr", 100, achieved, 30.0) == status


def test_the_end_of_the_quantiser_counts_only_on_its_own_side():
    assert rate_status(PROFILES["x264"], "abr", 100, 50, 51.0) == "missed"
    assert rate_status(PROFILES["x264"], "abr", 100, 200, 1.0) == "missed"


def test_x264_refusing_a_rate_is_no_failure():
    stream, said = try_encode(PROFILES["x264"], "ra", "2pass", 1)
    assert stream is None
    assert "floor" in (refused(PROFILES["x264"], said) or "")
    assert refused(PROFILES["x264"], "Segmentation fault") is None


def test_vvenc_refusing_a_small_fine_picture_is_no_failure():
    stream, said = try_encode(PROFILES["vvenc"], "ra", "qp", 1, width=24, height=24, frames=12)
    assert stream is None
    assert refused(PROFILES["vvenc"], said)


@pytest.mark.parametrize("rate", [math.nan, math.inf, -math.inf, -1, 0, 1e9])
@pytest.mark.parametrize("mode", ["abr", "2pass", "crf", "qp"])
def test_impossible_rates_are_refused_with_the_range(mode, rate):
    with pytest.raises(InputError, match=r"out of range .* give \d+ to \d+"):
        check_rate(PROFILES["x264"], mode, rate)


def test_rates_between_steps_are_refused():
    with pytest.raises(InputError, match="multiple of 1 kbit/s"):
        check_rate(PROFILES["x264"], "abr", 30.5)
    check_rate(PROFILES["x264"], "crf", 30.5)
    check_rate(PROFILES["kvazaar"], "abr", 30.5)


# Arguments


@pytest.mark.parametrize(("name", "variant", "mode"), CONDITIONS)
def test_arguments_are_words_between_encoder_and_muxer(name, variant, mode):
    profile = PROFILES[name]
    two = pass_numbers(profile, variant, mode) == (1, 2)
    assert two == (mode == "2pass" or (name, mode) == ("vp9", "crf"))
    for number in pass_numbers(profile, variant, mode):
        argv = arguments(
            profile,
            mode,
            profile.modes[mode].grid[0],
            variant=variant,
            passlog="/tmp/a b/log" if two else None,
            pass_number=number,
        )
        assert argv[:2] == ["-c:v", profile.encoder]
        assert argv[-2] == "-f"
        assert (argv[-1] == "null") == (number == 1)
        flags, values = argv[0::2], argv[1::2]
        assert len(flags) == len(values)
        assert all(flag.startswith("-") for flag in flags)
        assert all(re.fullmatch(r"[A-Za-z0-9_.+,|:= -]+", v) for v in values if v != "/tmp/a b/log")
        assert (("-pass", str(number)) in zip(flags, values, strict=True)) == two
        if two:
            assert ("-passlogfile", "/tmp/a b/log") in zip(flags, values, strict=True)


@pytest.mark.parametrize(
    ("fps", "frames"), [("25", 50), ("30000/1001", 60), ("24000/1001", 48), ("5/4", 3), ("1/10", 1)]
)
def test_key_frames_are_two_seconds_apart_in_whole_frames(fps, frames):
    assert distance_of(PROFILES["x264"], "ra", Fraction(fps)) == frames
    assert f"keyint={frames}:" in ":".join(arguments(PROFILES["x264"], fps=Fraction(fps))) + ":"


def test_key_frames_of_kvazaar_are_as_near_as_its_groups_allow():
    assert [distance_of(PROFILES["kvazaar"], "ra", Fraction(fps)) for fps in (1, 10, 25, 30)] == [
        9,
        17,
        49,
        57,
    ]
    assert distance_of(PROFILES["kvazaar"], "ld", Fraction(25)) is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"variant": "raa"}, "did you mean 'ra'"),
        ({"mode": "2pas"}, "did you mean '2pass'"),
        ({"width": 4}, "at least 6x6"),
        ({"width": 0, "height": 0}, "at least 6x6"),
        ({"fps": Fraction(0)}, "frame rate above 0"),
        ({"frames": 0}, "frame rate above 0"),
        ({"pass_number": 1}, "1 pass"),
        ({"mode": "2pass"}, "2 pass"),
        ({"rate": math.nan}, "out of range"),
    ],
)
def test_what_cannot_be_encoded_is_said_in_a_sentence(changes, text):
    with pytest.raises(InputError, match=re.escape(text)):
        arguments(PROFILES["x264"], **changes)


def test_a_mode_that_a_variant_lacks_is_refused():
    with pytest.raises(InputError, match="no mode abr in variant 'ld'"):
        arguments(PROFILES["vvenc"], variant="ld")


# A user's own


def test_a_users_profile_is_a_file_and_encodes(tmp_path):
    (tmp_path / "mine.toml").write_text(
        """
        name = "x264-fast"
        description = "what we ship"
        encoder = "libx264"
        format = "h264"
        suffix = ".h264"
        preset = "ultrafast"
        params_option = "x264-params"
        min_width = 6
        min_height = 6
        [options]
        preset = "{preset}"
        threads = 1
        tune = "zerolatency"
        [modes.crf]
        minimum = 10
        maximum = 51
        grid = [20, 30, 40, 50]
        options = { crf = "{rate}" }
        [variants.ra]
        key_seconds = 1.5
        reorders = false
        params = { keyint = "{keyint}", scenecut = 0 }
        """
    )
    profile = load_profiles(tmp_path)["x264-fast"]
    assert profile.origin == str(tmp_path / "mine.toml")
    stream, said = try_encode(profile, DEFAULT_VARIANT, "crf", 30)
    assert stream is not None, said
    bits = count(stream, "h264")
    assert len(bits.frames) == FRAMES
    assert bits.informational > 0
    assert set(load_profiles(tmp_path)) == {*PROFILES, "x264-fast"}


def test_a_users_profile_hides_the_one_that_ships(tmp_path):
    (tmp_path / "x264.toml").write_text(X264.replace('preset = "medium"', 'preset = "slow"', 1))
    mine = load_profiles(tmp_path)["x264"]
    assert mine.origin != "shipped"
    assert mine.digest != PROFILES["x264"].digest
    assert "slow" in arguments(mine)


def test_digest_is_of_what_changes_bits():
    digest = parse_profile(X264).digest
    assert re.fullmatch(r"[0-9a-f]{16}", digest)
    assert parse_profile(X264.replace("H.264/AVC by", "By")).digest == digest
    assert parse_profile(X264.replace("[5, 10, 20", "[6, 10, 20")).digest == digest
    assert parse_profile(X264.replace("cpu-independent = 1", "cpu-independent = 0")).digest != digest
    assert parse_profile(X264.replace("key_seconds = 2", "key_seconds = 3")).digest != digest
    assert len({profile.digest for profile in PROFILES.values()}) == len(PROFILES)


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.toml").write_text(X264)
    (tmp_path / "b.toml").write_text(X264)
    with pytest.raises(InputError, match="rename one"):
        load_profiles(tmp_path).of("x264")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (X264.replace("[modes.crf]", "[modes.crf"), r"x264\.toml is not TOML.*line \d+"),
        (X264.replace("quantisers =", "quantizers ="), "no key 'quantizers'; did you mean 'quantisers'"),
        (X264.replace("min_width = 6", "min_width = 0"), r"min_width \(line 9\): "),
    ],
    ids=["no TOML", "misspelt", "out of range"],
)
def test_one_broken_file_stops_only_what_uses_it_and_never_gives_way_to_the_one_that_ships(
    tmp_path, content, said
):
    (tmp_path / "x264.toml").write_text(content)
    (tmp_path / "mine.toml").write_text(X264.replace('name = "x264"', 'name = "mine"'))
    profiles = load_profiles(tmp_path)
    assert "x264" not in profiles
    assert profiles.of("mine").name == "mine"
    assert profiles.of("x265").origin == "shipped"
    with pytest.raises(InputError, match=said):
        profiles.of("x264")
    with pytest.raises(InputError, match=r"'x266' is unknown.*x264\.toml"):
        profiles.of("x266")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load_profiles(tmp_path / "nowhere")


def test_a_folder_named_like_a_profile_is_an_input_error(tmp_path):
    (tmp_path / "odd.toml").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_profiles(tmp_path).of("odd")


OPTIONS = "[options]\n"
PARAMS = "[params]\n"


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (OPTIONS, 'i = "other"'),
        (OPTIONS, '"c:v" = "copy"'),
        (OPTIONS, 'f = "tee"'),
        (OPTIONS, 'vf = "null"'),
        (OPTIONS, 'filter_complex = "movie"'),
        (OPTIONS, 'frames = "1"'),
        (OPTIONS, '"frames:v" = 1'),
        (OPTIONS, "t = 1"),
        (OPTIONS, "r = 1"),
        (OPTIONS, 's = "2x2"'),
        (OPTIONS, "pass = 1"),
        (OPTIONS, 'passlogfile = "x"'),
        (OPTIONS, 'stats = "x"'),
        (OPTIONS, 'vstats_file = "x"'),
        (OPTIONS, 'attach = "x"'),
        (OPTIONS, 'dump_attachment = "x"'),
        (OPTIONS, 'init_hw_device = "x"'),
        (OPTIONS, '"/crf" = "x"'),
        (OPTIONS, '"-y" = "1"'),
        (OPTIONS, '"crf out" = "1"'),
        (OPTIONS, 'tune = "/etc/passwd"'),
        (OPTIONS, 'tune = "../x"'),
        (OPTIONS, 'tune = "..x"'),
        (OPTIONS, 'tune = "a..b"'),
        (OPTIONS, 'tune = "-i"'),
        (OPTIONS, 'tune = "file:x"'),
        (OPTIONS, 'tune = "http://x"'),
        (OPTIONS, 'tune = "a  b"'),
        (OPTIONS, 'tune = "a /b"'),
        (OPTIONS, 'tune = "a "'),
        (OPTIONS, 'tune = "a;b"'),
        (OPTIONS, 'tune = "$(a)"'),
        (OPTIONS, 'tune = ""'),
        (OPTIONS, 'tune = "a\\nb"'),
        (OPTIONS, 'tune = "a\\u0000b"'),
        (OPTIONS, 'tune = "{rate.__class__}"'),
        (OPTIONS, 'tune = "{passlog}"'),
        (OPTIONS, 'tune = "{rate"'),
        (OPTIONS, "tune = nan"),
        (OPTIONS, "tune = []"),
        (OPTIONS, "tune = 1979-05-27"),
        (PARAMS, 'stats = "x"'),
        (PARAMS, 'qpfile = "x"'),
        (PARAMS, 'cqmfile = "x"'),
        (PARAMS, 'dump-yuv = "x"'),
        (PARAMS, 'recon = "x"'),
        (PARAMS, 'csv = "x"'),
        (PARAMS, 'analysis-save = "x"'),
        (PARAMS, 'opencl-clbin = "x"'),
        (PARAMS, 'deblock = "1:stats=x"'),
        (PARAMS, 'deblock = "1=2"'),
        (PARAMS, '"a:b" = 1'),
    ],
)
def test_a_profile_can_neither_touch_files_nor_change_what_is_coded(place, line):
    with pytest.raises(InputError, match=r"x264\.toml"):
        parse_profile(X264.replace(place, place + line + "\n"), "x264.toml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "x264"', 'name = "../x264"'),
        ('name = "x264"', 'name = "none"'),
        ('name = "x264"', ""),
        ('name = "x264"', 'name = "x264"\ncolour = 1'),
        ('"libx264"', '"rawvideo"'),
        ('"libx264"', '"libx264 -i x"'),
        ('format = "h264"', 'format = "mpeg2"'),
        ('suffix = ".h264"', 'suffix = ".mp4"'),
        ("min_width = 6", "min_width = 0"),
        ("min_width = 6", "min_width = true"),
        ("min_width = 6", "min_width = 6.0"),
        ("min_width = 6", f"min_width = 1{'0' * 5000}"),
        ("remove_units = [6]", "remove_units = [99]"),
        ("[modes.abr]", "[modes.cbr]"),
        ("maximum = 100000", "maximum = nan"),
        ("maximum = 100000", "maximum = 0"),
        ("maximum = 100000", f"maximum = 1{'0' * 400}"),
        ("[5, 10, 20, 40", "[5, 20, 10, 40"),
        ("[5, 10, 20, 40", "[5, 10.5, 20, 40"),
        ("[5, 10, 20, 40", "[0, 10, 20, 40"),
        ("[5, 50]", "[50, 5]"),
        ('params_option = "x264-params"\n', ""),
        ('params_option = "x264-params"', 'params_option = "passlogfile"'),
        ('params_option = "x264-params"', 'params_option = "i"'),
        ("key_seconds = 0", 'key_seconds = 0\noptions = { g = "{keyint}" }'),
        ("key_seconds = 2", "key_seconds = inf"),
        ("key_seconds = 2", ""),
    ],
)
def test_a_wrong_profile_is_an_input_error_that_names_the_file(old, new):
    assert old in X264
    with pytest.raises(InputError, match=r"mine\.toml"):
        parse_profile(X264.replace(old, new, 1), "mine.toml")


def assert_only_input_errors(content: bytes | str) -> None:
    try:
        profile = parse_profile(content, "mine.toml")
    except InputError as error:
        said = str(error)
    else:
        assert isinstance(profile, Profile)
        return
    assert "\n" not in said
    assert "mine.toml" in said


@given(st.text())
def test_any_text_gives_a_profile_or_an_input_error(text):
    assert_only_input_errors(text)


@given(st.binary())
def test_any_bytes_give_a_profile_or_an_input_error(data):
    assert_only_input_errors(data)


toml_values = st.one_of(
    st.integers().map(str),
    st.floats().map(lambda x: repr(x)),
    st.booleans().map(lambda x: str(x).lower()),
    st.text(st.characters(codec="ascii", min_codepoint=32, exclude_characters="'\x7f")).map(
        lambda x: f"'{x}'"
    ),
    st.sampled_from(
        ["[]", "{}", "[1, 2]", "[[1]]", "{a = 1}", "1979-05-27", "07:32:00", "'{rate}'", "[nan]"]
    ),
)


@given(st.sampled_from(sorted(SHIPPED)), st.data())
def test_any_value_in_place_of_a_good_one_gives_a_profile_or_an_input_error(name, draw):
    lines = SHIPPED[name].splitlines()
    places = [i for i, line in enumerate(lines) if re.match(r"[a-z_\-\"]+ = ", line)]
    place = draw.draw(st.sampled_from(places))
    key = lines[place].split(" = ")[0]
    lines[place] = f"{key} = {draw.draw(toml_values)}"
    assert_only_input_errors("\n".join(lines))


@pytest.mark.parametrize(
    "content", ["a = " + "[" * 5000, "[a" + ".a" * 5000 + "]", "x" * 100_000, b"\xff\xfe", "a = 1" * 2]
)
def test_hostile_text_is_an_input_error(content):
    with pytest.raises(InputError, match=r"mine\.toml"):
        parse_profile(content, "mine.toml")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_plain_data(name):
    table = tomllib.loads(SHIPPED[name])
    assert table["name"] == name
    assert Profile.model_validate(table).digest == PROFILES[name].digest


def test_ffmpeg_without_the_profiles_sei_filter_would_carry_a_banner():
    """The reason for `remove_units`: what it removes is really there."""
    run = ffmpeg("-v", "error", *source(), "-c:v", "libx264", "-f", "h264", "-", data=pictures(SIZE, SIZE, 5))
    assert count(run.stdout, "h264").informational > 0


def test_the_documented_profile_is_one_and_encodes(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "talk.toml").write_text(example)
    profile = load_profiles(tmp_path)["x264-talk"]
    for variant in profile.variants:
        for mode in profile.modes:
            stream, said = try_encode(profile, variant, mode, 40)
            assert stream is not None, said
            assert len(decoded(stream, ".h264")) == FRAMES * SIZE * SIZE * 3 // 2
    for name, shipped in PROFILES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` "))
        assert all(mode in row for mode in shipped.modes)
        assert f"{shipped.min_width}x{shipped.min_height}" in row


def test_a_variant_like_another_drops_what_it_names_and_an_effort_takes_its_preset():
    profile = PROFILES["x264"]
    plain, visual, fast = (
        " ".join(arguments(profile, "crf", 30, variant=variant)) for variant in ("ra", "ra-visual", "ra-fast")
    )
    assert "psy=0:aq-mode=0" in plain
    assert visual == plain.replace(":psy=0:aq-mode=0", "")
    assert "-preset veryslow" in fast
    assert "merange=48" in fast
    with pytest.raises(InputError, match="no effort 'medium'"):
        arguments(PROFILES["kvazaar"], "qp", 30, variant="ra-medium")


def test_passes_may_belong_to_one_mode_of_one_variant():
    two = X264 + "\n[variants.ld.modes.crf]\npasses = 2\n"
    profile = parse_profile(two)
    assert pass_numbers(profile, "ld", "crf") == (1, 2)
    assert pass_numbers(profile, "ra", "crf") == (None,)


def test_a_list_of_modes_that_a_variant_lacks_still_reads():
    old = parse_profile(re.sub(r"without = \{[^}]*\}", 'without = ["2pass"]', X264, count=1))
    with pytest.raises(InputError, match="no mode 2pass in variant 'ld'"):
        arguments(old, "2pass", 30, variant="ld")
