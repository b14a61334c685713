"""The font families of the synthesised pictures: which part each belongs to, and the archive it is in.

Parts share no family: evaluation draws from other fonts than training. All are under the SIL Open Font License or
Apache 2.0.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Part: TypeAlias = Literal["train", "validation", "test"]
Style: TypeAlias = Literal["handwriting", "printed"]

VERSION = "5.3.0"  # of every @fontsource package


@dataclass(frozen=True, slots=True)
class FontFamily:
    """One family: its npm package is `@fontsource/<name>`, whose archive has this SHA-256."""

    name: str
    part: Part
    style: Style
    weights: tuple[int, ...]
    sha256: str

    @property
    def package(self) -> str:
        """The argument of `npm pack`."""
        return f"@fontsource/{self.name}@{VERSION}"

    @property
    def archive(self) -> str:
        """The file name `npm pack` gives it."""
        return f"fontsource-{self.name}-{VERSION}.tgz"


FAMILIES = (
    FontFamily(
        "caveat", "train", "handwriting", (400, 700), "ebf746fc0667b9d10fcac7c8604e2ba40a264da85a1c9b48bd679c0af3221293"
    ),
    FontFamily(
        "patrick-hand",
        "train",
        "handwriting",
        (400,),
        "c3428d02610c7b8fa92b044cf766f8c30b88bb32a47460b4ac42fa14e0bcdcc0",
    ),
    FontFamily(
        "indie-flower",
        "train",
        "handwriting",
        (400,),
        "be380503f1e2c5ef08b8399a28f8cb2f1725527db2cb6aacec3037c2bd1b9083",
    ),
    FontFamily(
        "kalam", "train", "handwriting", (400, 700), "0aaf22523f3c57ae19f32c4f4df0d43d6efd01b7563a19cf4ed818cd5601426d"
    ),
    FontFamily(
        "shadows-into-light",
        "train",
        "handwriting",
        (400,),
        "0885aefd34c65bd79207cffff0771ae0527f227a202bc850f8cf9a12257fc7f1",
    ),
    FontFamily(
        "gloria-hallelujah",
        "train",
        "handwriting",
        (400,),
        "8755cc046e06286eeebee193f9f753bd0f03eec44c7bf188fc883db66e7a9d91",
    ),
    FontFamily(
        "architects-daughter",
        "train",
        "handwriting",
        (400,),
        "791d2009fbdc46ca3eb942c27c62c0ee353668cd290dfad17f401b8488c727a1",
    ),
    FontFamily(
        "gochi-hand", "train", "handwriting", (400,), "6e206b6139093775d8762503196d6d991408bd5f8393ea0357f4f89b75b195a3"
    ),
    FontFamily(
        "schoolbell", "train", "handwriting", (400,), "08901884344f129587928d2260a84e6d8cc7baae54ecdce19ff225694314b704"
    ),
    FontFamily(
        "covered-by-your-grace",
        "train",
        "handwriting",
        (400,),
        "1bd27256356f90c7bc7b463d36c05565ef4b3d655bc56d0dd7b7387114b1308d",
    ),
    FontFamily(
        "reenie-beanie",
        "train",
        "handwriting",
        (400,),
        "8a2406f9b3c0b76199dcd87288ea40480fcd8547ba1af2f9f3156205f1688be9",
    ),
    FontFamily(
        "delicious-handrawn",
        "train",
        "handwriting",
        (400,),
        "46a6a44ebd681a6266ad59dedd676de3679f4ac1e603630446ac1f35a78314e3",
    ),
    FontFamily(
        "gaegu", "train", "handwriting", (400, 700), "a288e8e1d8ba3b288bee36088ad49f3e393797b96c2cca489efcbce47d918f6f"
    ),
    FontFamily(
        "annie-use-your-telescope",
        "train",
        "handwriting",
        (400,),
        "ed1cea10322cff6e760b1c1d2cb3be8b5a3b08ddea41feae31f9f938f39fe1ab",
    ),
    FontFamily(
        "sue-ellen-francisco",
        "train",
        "handwriting",
        (400,),
        "93c9f047a1709b2879db10b52058ffba7c1642f0acbec422eb358433c937ee00",
    ),
    FontFamily(
        "comic-neue",
        "train",
        "handwriting",
        (400, 700),
        "0d242660fa8a3e31deb4ba0005b830904db4533ae3366f9c41724ff452662fa6",
    ),
    FontFamily(
        "roboto", "train", "printed", (400, 700), "77620f437249772e381698224ea1bddd01c985ecd60267a63ddc96b9eb9348f7"
    ),
    FontFamily(
        "open-sans", "train", "printed", (400, 700), "95e6dd90f5860d0de22f791b6d802598743762c62e4894bfa26f80b1ea0cf3f5"
    ),
    FontFamily(
        "lora", "train", "printed", (400, 700), "3f2e66b0934b8652bb1a37645a9fc3e77e83b5841a09e97174e7bb11e11063c9"
    ),
    FontFamily(
        "merriweather",
        "train",
        "printed",
        (400, 700),
        "348f20a775e50a50b508ab6660771df6905ab2ea695c6c2a8df889c5cceec42f",
    ),
    FontFamily(
        "roboto-slab",
        "train",
        "printed",
        (400, 700),
        "45d42c2f30be7fa361c673a297cb75e151e977a57905e449d25875adf97e77f5",
    ),
    FontFamily(
        "roboto-mono",
        "train",
        "printed",
        (400, 700),
        "9825f59e72dab7ef3f96e6af79407d97844ba50927ae57f2c9c60199daa9ef62",
    ),
    FontFamily(
        "oswald", "train", "printed", (400, 700), "27bf46420288bb65bd186638cde54686aa8f9d5dc975b1d597dfe81a7dd472cb"
    ),
    FontFamily(
        "playfair-display",
        "train",
        "printed",
        (400, 700),
        "564e61951ecc3e962793cd50395f718cda6350cb934f9000dbe0139c768dc023",
    ),
    FontFamily(
        "archivo-narrow",
        "train",
        "printed",
        (400, 700),
        "7adbb6ba7514b065ae523907c88b1ab37dc69c002bf3602ab3c8b31d66be8c33",
    ),
    FontFamily(
        "source-serif-pro",
        "train",
        "printed",
        (400, 700),
        "796fbcc06532e67e9a6424710cd17cf70e6a4713d608da6d8c9be64ea4782d58",
    ),
    FontFamily(
        "courier-prime",
        "train",
        "printed",
        (400, 700),
        "fd204a077d81426e1425baed6d471ad78a8eccca931091e661637bb10b5f2724",
    ),
    FontFamily(
        "nunito", "train", "printed", (400, 700), "4d8e1fb4f4a40c125c7a302b21e5c6810b86569b60bac0fa0405c04380f4c77b"
    ),
    FontFamily(
        "arimo", "train", "printed", (400, 700), "df44945077a74905969f15bba3b442f9fb6773818b2b59c970911deace01132f"
    ),
    FontFamily(
        "tinos", "train", "printed", (400, 700), "218a9f3dfc1f43e595835ba84ffb1f69723f27cab54a50b5acd64c0fe067dbe2"
    ),
    FontFamily(
        "cousine", "train", "printed", (400, 700), "a450d4756b5b9e666464df668728dbf1c6d62548b61324d4ac5778a5da27a3b8"
    ),
    FontFamily(
        "josefin-sans",
        "train",
        "printed",
        (400, 700),
        "a89f83ae9d414f027af83546b84e09ac81e960024dfdeea3bcb491e8ed52a962",
    ),
    FontFamily(
        "handlee",
        "validation",
        "handwriting",
        (400,),
        "e1fbeba16906d4807b42add8ab85dec533c3e667575be00ba96f050b5fc452ce",
    ),
    FontFamily(
        "mansalva",
        "validation",
        "handwriting",
        (400,),
        "ed850c14e8a1729761348b17e15f9ec7dc5693594d3d4a60456489ce301d883d",
    ),
    FontFamily(
        "swanky-and-moo-moo",
        "validation",
        "handwriting",
        (400,),
        "3a1b7f26957986f2bd645c3656f4044812a8b6995eeb2870c90a2f6b86426cd5",
    ),
    FontFamily(
        "lato", "validation", "printed", (400, 700), "50db251f16e9a6c35fe0177b4692b7ec78478b9734c9272d980a75343638aa5c"
    ),
    FontFamily(
        "bitter",
        "validation",
        "printed",
        (400, 700),
        "f907568dce71e70601cc2ef3ecd4f72d7721a12dad358d8fb4b58ffb55a72efb",
    ),
    FontFamily(
        "pt-sans-narrow",
        "validation",
        "printed",
        (400, 700),
        "d22479707c849f8dfca08967bbdd2fecfdbae304ee5cc2171933a21ae81989f9",
    ),
    FontFamily(
        "nanum-pen-script",
        "test",
        "handwriting",
        (400,),
        "91c7118b1d68e8ab576addbae76351857cf5c3656b7ee496c51fe16f01258a44",
    ),
    FontFamily(
        "permanent-marker",
        "test",
        "handwriting",
        (400,),
        "1fc372d174353a87b0ae7bb9651e32e7d1731f9e0b4c50c5d8704baea032bc1b",
    ),
    FontFamily(
        "playpen-sans",
        "test",
        "handwriting",
        (400, 700),
        "cc638f6c358ee318701ff65788540db3019aab408267b5b5d81c2a84226e4706",
    ),
    FontFamily(
        "short-stack", "test", "handwriting", (400,), "10ff174d6c256fd5e5417466b24a561de4fd1c5d090975849c77cc7746d8f470"
    ),
    FontFamily(
        "rock-salt", "test", "handwriting", (400,), "c298a87c9a667bcd034b4a5c87430394a0d9bdc03ff6182eaacac2abb868db57"
    ),
    FontFamily(
        "fira-sans", "test", "printed", (400, 700), "2231966721c4c3f70194c336dd11428e15139bd902cac415528715028c9cd5a9"
    ),
    FontFamily(
        "noto-serif", "test", "printed", (400, 700), "846d219c2c9c668ebe2b5ca0e76c403a35f847d83c4c441c107f9bdc152830df"
    ),
    FontFamily(
        "zilla-slab", "test", "printed", (400, 700), "b7db2f40f3aaeb44c0e1dfe3da1e5de96d177a674ffe5e5e012c59b6a01e8aab"
    ),
    FontFamily(
        "inconsolata", "test", "printed", (400, 700), "d34e446cb20ca819c3bc2795ff7dd1f071a4a7a6f8a38518af3b47144b5e06d9"
    ),
    FontFamily(
        "barlow-condensed",
        "test",
        "printed",
        (400, 700),
        "759fcdd25df64b4ef41653808d849cdb9ba0a520999032ceb137ce035a17e2ea",
    ),
)
