"""Where a webhook may lead."""

from ipaddress import ip_address, ip_network

import pytest
from customerflow_partners.webhooks.addresses import (
    MAX_URL,
    AddressRefused,
    check,
    is_public,
    networks,
    plain,
    target,
)

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2606:4700::5efe:8.8.8.8",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a00:1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2001:10::1",
    "2001:20::1",
    "2002:7f00:1::1",
    "2002:a00:1::",
    "2002:c0a8:101::1",
    "2002:a9fe:a9fe::",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_of_any_other_kind_is_not_public_however_it_is_written(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("HTTPS://Example.COM/Hook?a=B&c=%20", "example.com", 443, "/Hook?a=B&c=%20"),
        ("https://example.com:8443/x", "example.com", 8443, "/x"),
        ("https://example.com:/x", "example.com", 443, "/x"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/"),
        ("https://[2606:4700:4700::1111]:444/", "2606:4700:4700::1111", 444, "/"),
        ("https://a_b.example.com?x", "a_b.example.com", 443, "/?x"),
        ("https://example.com/a/../b", "example.com", 443, "/a/../b"),
        ("https://example.com/a@b", "example.com", 443, "/a@b"),
    ],
)
def test_a_url_is_taken_apart_once(url: str, host: str, port: int, path: str) -> None:
    told = target(url)
    assert (told.secure, told.host, told.port, told.path) == (True, host, port, path)


def test_what_is_asked_of_a_host_names_a_port_only_if_it_is_not_the_usual_one() -> None:
    assert target("https://example.com:443/").authority == "example.com"
    assert target("http://example.com/").authority == "example.com"
    assert target("http://example.com:443/").authority == "example.com:443"
    assert target("https://[::1]:8443/").authority == "[::1]:8443"


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("", "url"),
        ("https://example.com/" + "a" * MAX_URL, "url"),
        ("https://example.com/\r\nHost: x", "url"),
        ("https://example.com/ x", "url"),
        ("https://example.com\t/", "url"),
        (" https://example.com/", "url"),
        ("https://example.com\\@127.0.0.1/", "url"),
        ("https://bücher.example/", "url"),
        ("https://127。0。0。1/", "url"),
        ("https://①②⑦.0.0.1/", "url"),
        ("https://example.com/#x", "url"),
        ("https://example.com/#", "url"),
        ("https://example.com:port/", "url"),
        ("https://example.com:65536/", "url"),
        ("https://example.com:-1/", "url"),
        ("https://[::1/", "url"),
        ("example.com/x", "scheme"),
        ("//example.com/x", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:25/", "scheme"),
        ("https://user@example.com/", "user-info"),
        ("https://user:password@example.com/", "user-info"),
        ("https://example.com:443@127.0.0.1/", "user-info"),
        ("https://@127.0.0.1/", "user-info"),
        ("https:///x", "host"),
        ("https://:443/x", "host"),
        ("https://127.1/", "host"),
        ("https://0x7f.0.0.1/", "host"),
        ("https://0x7f000001/", "host"),
        ("https://2130706433/", "host"),
        ("https://0177.0.0.1/", "host"),
        ("https://127.0.0.01/", "host"),
        ("https://127.0.0.1./", "host"),
        ("https://example.com./", "host"),
        ("https://.example.com/", "host"),
        ("https://exa..mple.com/", "host"),
        ("https://-example.com/", "host"),
        ("https://" + "a" * 64 + ".com/", "host"),
        ("https://" + "a." * 127 + "com/", "host"),
        ("https://%31%32%37.0.0.1/", "host"),
        ("https://example.com%00.evil.example/", "host"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://[127.0.0.1]/", "host"),
    ],
)
def test_a_url_that_could_be_read_in_two_ways_or_leads_elsewhere_is_refused(url: str, rule: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        target(url)
    # Python itself refuses some brackets before the rules are asked
    assert refused.value.rule == rule or (rule == "host" and "[" in url and refused.value.rule == "url")


def test_a_name_is_good_only_if_all_that_it_stands_for_is() -> None:
    public, private = ip_address("1.1.1.1"), ip_address("10.0.0.1")
    check(target("https://example.com/"), [public], ())
    with pytest.raises(AddressRefused) as refused:
        check(target("https://example.com/"), [public, private], ())
    assert refused.value.rule == "not-public"
    assert "10.0.0.1" not in str(refused.value) + refused.value.detail
    with pytest.raises(AddressRefused, match="no address"):
        check(target("https://example.com/"), [], ())


@pytest.mark.parametrize("port", [0, 1, 22, 25, 80, 442, 444, 1023])
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(AddressRefused) as refused:
        check(target(f"https://example.com:{port}/"), [ip_address("1.1.1.1")], ())
    assert refused.value.rule == "port"


@pytest.mark.parametrize("port", [443, 1024, 8443, 65535])
def test_ports_that_no_privilege_is_needed_for_are_taken(port: int) -> None:
    check(target(f"https://example.com:{port}/"), [ip_address("1.1.1.1")], ())


def test_what_is_not_encrypted_is_refused_also_to_a_public_address() -> None:
    with pytest.raises(AddressRefused) as refused:
        check(target("http://example.com/"), [ip_address("1.1.1.1")], ())
    assert refused.value.rule == "scheme"


def test_an_allowed_network_is_allowed_with_any_port_and_unencrypted_and_nothing_else_is() -> None:
    allowed = networks("127.0.0.0/8, ::1/128,")
    check(target("http://receiver:80/"), [ip_address("127.0.0.1"), ip_address("::1")], allowed)
    check(target("http://receiver:80/"), [ip_address("::ffff:127.0.0.1")], allowed)
    check(target("https://receiver:8443/"), [ip_address("127.0.0.1"), ip_address("1.1.1.1")], allowed)
    for mixed in ("10.0.0.1", "169.254.169.254", "::2"):
        with pytest.raises(AddressRefused):
            check(target("https://receiver/"), [ip_address("127.0.0.1"), ip_address(mixed)], allowed)
    with pytest.raises(AddressRefused, match="https"):
        check(target("http://receiver/"), [ip_address("127.0.0.1"), ip_address("1.1.1.1")], allowed)


def test_networks_are_read_strictly() -> None:
    assert networks("") == ()
    assert networks("10.0.0.0/8,fd00::/8") == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    for bad in ("10.0.0.1/8", "private", "10.0.0.0/33", "10.0.0.0/8;::/0"):
        with pytest.raises(ValueError, match=r"network|host bits"):
            networks(bad)


def test_ipv4_is_itself_also_where_it_is_written_as_ipv6() -> None:
    assert plain(ip_address("::ffff:10.0.0.1")) == ip_address("10.0.0.1")
    assert plain(ip_address("2606::1")) == ip_address("2606::1")
