"""Picture formats, told apart by a file's first bytes: names of files lie or are missing."""

HEAD_BYTES = 32
READ = ("PNG", "JPEG", "BMP", "WebP", "TIFF")  # by the server
NOT_READ = ("HEIC", "AVIF", "GIF")

_STARTS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
}
_BMP_HEADER_BYTES = (12, 40, 52, 56, 64, 108, 124)
# Brands of ISO base media files: AVIF's own, and those of HEIC and the other HEIF files of phones.
_BRANDS = dict.fromkeys((b"avif", b"avis"), "AVIF") | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"
)


def picture_format(head: bytes) -> str | None:
    """Names the format, one of READ or NOT_READ, of a file that begins with `head`; None for any other.

    `head`: the first HEAD_BYTES bytes, or as many as there are.
    """
    for start, name in _STARTS.items():
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":  # RIFF also begins sound and video
        return "WebP"
    # Two letters begin many a text: the header's size is looked at, too.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "BMP"
    if head[4:8] == b"ftyp":
        # The generic brand mif1 may come first, before avif: the compatible brands say what it is.
        brands = [head[8:12], *(head[start : start + 4] for start in range(16, len(head), 4))]
        names = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return "AVIF" if "AVIF" in names else names[0] if names else None
    return None
