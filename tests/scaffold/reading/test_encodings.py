"""Which encoding a text is in, by its letters."""

# ruff: noqa: RUF001 - letters of many scripts

import typing

import pytest

from treadle.errors import TreadleError
from treadle.experiment.spec import Encoding
from treadle.scaffold.reading.encodings import ENCODINGS, LIKELY, guess_encoding
from treadle.scaffold.reading.source import find_source

WORDS = {
    "French": "rosé vélo hôtel forêt garçon élève",
    "German": "grün größe straße müller Übung",
    "Spanish": "año",
    "Portuguese": "São",
    "Danish": "rød blå grøn København",
    "capitals": "ÉCOLE PRÉNOM",
    "signs": "5€ 7€ “hi” it’s",
    "degrees": "5°C",
    "Polish": "żółty Łódź Kraków Gdańsk",
    "Czech": "žlutý červený zelený Příbor",
    "Turkish": "şehir İstanbul kırmızı yeşil",
    "Lithuanian": "žalia šviesa mėlyna ąžuolas",
    "Russian": "цена город Москва имя",
    "Russian capitals": "ЦЕНА ГОРОД МОСКВА",
    "Ukrainian": "ціна місто Київ",
    "Greek": "τιμή πόλη Αθήνα",
    "Arabic": "سعر مدينة أحمر",
    "Thai": "กรุงเทพ ราคา เมือง สีแดง",
    "Japanese": "東京 大阪 価格 商品 青",
    "Japanese signs": "ノート、ペン。 コーヒー！ サーバー（東京） ＡＢＣ１２３ Ｔシャツ・スーツ",
    "Katakana": "ノート コーヒー サーバー",
    "Japanese and Latin": "Tシャツ ABC商品 赤Lサイズ",
    "Chinese": "北京，上海。 价格！ 商品（蓝色） 订单：１２３",
    "Taiwanese": "臺北，高雄。 價格！ 商品（藍色） 訂單：１２３",
    "Korean": "가격 도시 서울 부산",
    "Korean signs": "서울、부산。 가격·도시",
}


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        *((name, "cp1252") for name in ("French", "German", "Spanish", "Portuguese", "Danish", "capitals", "signs")),
        ("degrees", "latin-1"),
        *((name, encoding) for name in ("French", "German") for encoding in ("mac-roman", "cp850")),
        *((name, encoding) for name in ("Polish", "Czech") for encoding in ("cp1250", "iso-8859-2")),
        ("Turkish", "cp1254"),
        ("Lithuanian", "cp1257"),
        *(("Russian", encoding) for encoding in ("cp1251", "koi8-r", "cp866", "iso-8859-5", "mac-cyrillic")),
        ("Russian capitals", "cp1251"),
        ("Ukrainian", "cp1251"),
        *(("Greek", encoding) for encoding in ("cp1253", "iso-8859-7")),
        ("Arabic", "cp1256"),
        ("Thai", "cp874"),
        ("Japanese", "cp932"),
        *(("Japanese signs", encoding) for encoding in ("cp932", "euc-jp")),
        ("Katakana", "cp932"),
        *(("Japanese and Latin", encoding) for encoding in ("cp932", "euc-jp")),
        ("Chinese", "gb18030"),
        ("Taiwanese", "big5"),
        ("Korean signs", "cp949"),
        ("Korean", "cp949"),
    ],
)
def test_the_encoding_of_a_few_words_is_found(language, encoding):
    lines = "\n".join(f"{index},{word}" for index, word in enumerate(WORDS[language].split()))

    guess = guess_encoding([f"id,name\n{lines}\n".encode(encoding)])

    assert lines.encode(encoding).decode(guess.name) == lines
    assert guess.confidence >= LIKELY


@pytest.mark.parametrize("cut", range(8, 13))
def test_a_letter_may_lie_in_two_chunks(cut):
    text = "id,name\n1,東京\n2,大阪\n3,価格".encode("cp932")

    guess = guess_encoding([text[:cut], text[cut:]])

    assert guess == guess_encoding([text])
    assert guess.name == "cp932"


def test_bytes_that_are_no_words_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + bytes(range(0xA1, 0xFF, 3)) + b",1\n")

    with pytest.raises(TreadleError, match=r"no other encoding is likely: its words would be .* Give --encoding NAME"):
        find_source([str(tmp_path / "t.csv")])


def test_the_user_may_ask_for_it(tmp_path):
    (tmp_path / "t.csv").write_bytes("имя,b\nx,1\n".encode("koi8-r"))

    source = find_source([str(tmp_path / "t.csv")], encoding="koi8-r")

    assert (source.header, source.remarks) == (("имя", "b"), {})
    with pytest.raises(TreadleError, match=r"--encoding: 'koi8' is not a known encoding\. Did you mean 'koi8-"):
        find_source([str(tmp_path / "t.csv")], encoding="koi8")


def test_the_contract_knows_each_encoding_that_may_be_guessed():
    assert set(ENCODINGS) < set(typing.get_args(Encoding))
