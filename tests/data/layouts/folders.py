"""Lists of names in the manner of public datasets, and the pairs they hold; no files are needed."""

import random
from dataclasses import dataclass, field

from swath.data.layouts.patterns import match_files, pair
from swath.data.layouts.proposals import Content


@dataclass
class Folder:
    """Names of a folder, patterns that pair them, and the pairs."""

    name: str
    images: str
    labels: str
    pairs: dict
    others: list = field(default_factory=list)
    splits: set = field(default_factory=set)
    masks: str = ""
    """A text in the paths of masks, where words do not tell them and content has to."""

    def __str__(self):
        return self.name

    @property
    def files(self):
        names = [f for images in self.pairs.values() for f in images]
        names += [*self.pairs, *self.others]
        random.Random(1).shuffle(names)
        return names

    def look(self, path):
        if self.masks and self.masks in path:
            return Content(1, 6)
        return Content(1 if path in self.others else 3, None)


SHEETS = ("M-33-20-D-c-4-2", "N-34-106-A-b-3-4", "M-34-51-C-b-2-1")
SCENES = ("LC80010732013109LGN00", "LC80420082013220LGN00", "LC81570452014213LGN00")
SPLIT = ("train", "val", "test")

FOLDERS = [
    Folder(
        "orthophotos and masks of one name",
        "images/{id}.tif",
        "masks/{id}.tif",
        {f"masks/{s}.tif": [f"images/{s}.tif"] for s in SHEETS},
        ["train.txt", "val.txt", "split.py"],
    ),
    Folder(
        "aerial tiles with numbers apart",
        "top/top_mosaic_09cm_area{id}.tif",
        "gts_for_participants/top_mosaic_09cm_area{id}.tif",
        {
            f"gts_for_participants/top_mosaic_09cm_area{i}.tif": [
                f"top/top_mosaic_09cm_area{i}.tif"
            ]
            for i in (1, 3, 11, 28)
        },
        ["dsm/dsm_09cm_matching_area1.tif"],
    ),
    Folder(
        "polygons a tile, four kinds of images",
        "AOI_2_Vegas/PS-RGB/SN_AOI_2_PS-RGB_img{id}.tif",
        "AOI_2_Vegas/geojson_buildings/SN_AOI_2_geojson_buildings_img{id}.geojson",
        {
            f"AOI_2_Vegas/geojson_buildings/SN_AOI_2_geojson_buildings_img{i}.geojson": [
                f"AOI_2_Vegas/PS-RGB/SN_AOI_2_PS-RGB_img{i}.tif"
            ]
            for i in (2, 12, 112)
        },
        [
            f"AOI_2_Vegas/{k}/SN_AOI_2_{k}_img{i}.tif"
            for k in ("PAN", "MS", "PS-MS")
            for i in (2, 12, 112)
        ],
    ),
    Folder(
        "patches of single bands with reference maps elsewhere",
        "S2/*/{id}/{id}_B??.tif",
        "Reference_Maps/*/{id}/{id}_reference_map.tif",
        {
            f"Reference_Maps/S2A_2017_T34/{p}/{p}_reference_map.tif": [
                f"S2/S2A_2017_T34/{p}/{p}_B{b}.tif" for b in ("01", "02", "8A", "12")
            ]
            for p in ("S2A_2017_T34_01_02", "S2A_2017_T34_01_13", "S2A_2017_T34_77_02")
        },
    ),
    Folder(
        "scenes with bands and a cloud mask in one folder",
        "{biome}/{id}/{id}_B?.TIF",
        "{biome}/{id}/{id}_fixedmask.TIF",
        {
            f"{b}/{s}/{s}_fixedmask.TIF": [f"{b}/{s}/{s}_B{i}.TIF" for i in range(1, 8)]
            for b, s in zip(("barren", "forest", "water"), SCENES, strict=True)
        },
        [f"barren/{SCENES[0]}/{SCENES[0]}_MTL.txt"],
    ),
    Folder(
        "scenes with bands of two instruments, masks of another name",
        "{zone}/{id}/*_B??.TIF",
        "{zone}/{id}/*_newmask2015.TIF",
        {
            f"{z}/{i}/L7_{i}_newmask2015.TIF": [
                *(f"{z}/{i}/L71{n}_{n}{d}_B{b}0.TIF" for b in (1, 2, 3, 4)),
                f"{z}/{i}/L72{n}_{n}{d}_B70.TIF",
            ]
            for z, i, n, d in (
                ("austral", "p226_r98", "226098", "20011112"),
                ("boreal", "p2_r27", "002027", "20010604"),
            )
        },
    ),
    Folder(
        "images before and after with a target each",
        "{split}/images/{id}.png",
        "{split}/targets/{id}_target.png",
        {
            f"{s}/targets/{d}_{i:08d}_{w}_disaster_target.png": [
                f"{s}/images/{d}_{i:08d}_{w}_disaster.png"
            ]
            for s in ("train", "test")
            for d in ("hurricane-michael", "socal-fire")
            for i in (1, 2)
            for w in ("pre", "post")
        },
        splits={"train", "test"},
    ),
    Folder(
        "regions with images, heights and an atlas, told by content",
        "labeled_train/{city}/BDORTHO/{id}.tif",
        "labeled_train/{city}/UrbanAtlas/{id}_UA2012.tif",
        {
            f"labeled_train/{c}/UrbanAtlas/{i}_UA2012.tif": [f"labeled_train/{c}/BDORTHO/{i}.tif"]
            for c, i in (
                ("Nice_ALPES", "06-2014-1007-6318-LA93-0M50-E080"),
                ("Nice_ALPES", "06-2014-1007-6329-LA93-0M50-E080"),
                ("Nantes", "44-2013-0295-6713-LA93-0M50-E080"),
            )
        },
        [
            "labeled_train/Nantes/RGEALTI/44-2013-0295-6713-LA93-0M50-E080_RGEALTI.tif",
            "labeled_train/Nice_ALPES/RGEALTI/06-2014-1007-6318-LA93-0M50-E080_RGEALTI.tif",
            "labeled_train/Nice_ALPES/RGEALTI/06-2014-1007-6329-LA93-0M50-E080_RGEALTI.tif",
        ],
        masks="UrbanAtlas",
    ),
    Folder(
        "land cover beside imagery of one region",
        "{id}_naip-new.tif",
        "{id}_lc.tif",
        {
            f"m_{i}_ne_18_1.{k}_lc.tif": [f"m_{i}_ne_18_1.{k}_naip-new.tif"]
            for i, k in ((3807511, "tif"), (3807512, "tif"), (3807603, "tif"))
        },
    ),
    Folder(
        "floods with radar, heights and masks a place",
        "activations/{place}/s1_raw/{id}.tif",
        "activations/{place}/mask/{id}.tif",
        {
            f"activations/{p}/mask/{p}-{i}.tif": [f"activations/{p}/s1_raw/{p}-{i}.tif"]
            for p in ("EMSR107-1", "EMSR149-2")
            for i in (0, 1, 2)
        },
        [
            f"activations/{p}/{k}/{p}-{i}.tif"
            for p in ("EMSR107-1", "EMSR149-2")
            for i in (0, 1, 2)
            for k in ("DEM", "hydro")
        ],
    ),
    Folder(
        "folders with the split below the kind",
        "img_dir/{split}/{id}.tif",
        "ann_dir/{split}/{id}_15label.png",
        {
            f"ann_dir/{s}/GF2_PMS1__L1A000{n}-MSS1_15label.png": [
                f"img_dir/{s}/GF2_PMS1__L1A000{n}-MSS1.tif"
            ]
            for s, n in (("train", 564539), ("train", 575925), ("val", 647767), ("val", 680858))
        },
        ["img_dir/test/GF2_PMS1__L1A000718813-MSS1.tif"],
        {"train", "val"},
    ),
    Folder(
        "water chips with labels of another ending",
        "S2Hand/{id}_S2Hand.tif",
        "LabelHand/{id}_LabelHand.tif",
        {
            f"LabelHand/{p}_LabelHand.tif": [f"S2Hand/{p}_S2Hand.tif"]
            for p in ("Bolivia_103757", "Ghana_5079", "Mekong_16233")
        },
        [
            f"{k}/{p}_{k}.tif"
            for k in ("S1Hand", "JRCWaterHand")
            for p in ("Bolivia_103757", "Ghana_5079", "Mekong_16233")
        ],
    ),
    Folder(
        "patches of four bands in four folders",
        "{split}_?*/*_patch_{id}.TIF",
        "{split}_gt/gt_patch_{id}.TIF",
        {
            f"train_gt/gt_patch_{p}.TIF": [
                f"train_{c}/{c}_patch_{p}.TIF" for c in ("blue", "green", "nir", "red")
            ]
            for p in ("192_10_by_12_LC08_002053", "2_1_by_2_LC08_032030", "7_1_by_7_LC08_064015")
        },
        splits={"train"},
    ),
    Folder(
        "numbered images and labels without a separator",
        "imgs/img{id}.png",
        "labels/label{id}.png",
        {f"labels/label{i}.png": [f"imgs/img{i}.png"] for i in (1, 2, 3, 10, 11)},
    ),
    Folder(
        "two dates and a change mask",
        "{split}/?/{id}.png",
        "{split}/label/{id}.png",
        {
            f"{s}/label/{s}_{i}_0.png": [f"{s}/A/{s}_{i}_0.png", f"{s}/B/{s}_{i}_0.png"]
            for s in SPLIT
            for i in (1, 2)
        },
        splits={*SPLIT},
    ),
    Folder(
        "semantic change with a mask of the later date",
        "{id}/t?.tif",
        "{id}/mask.tif",
        {f"{i}/mask.tif": [f"{i}/t1.tif", f"{i}/t2.tif"] for i in ("paris_01", "paris_02", "nice")},
    ),
    Folder(
        "a folder a sample with image and mask",
        "{id}/image.tif",
        "{id}/mask.tif",
        {f"{i}/mask.tif": [f"{i}/image.tif"] for i in ("chip_0001", "chip_0002", "chip_0100")},
    ),
    Folder(
        "image and annotation with long names of a collection",
        "*_source/*_source_{id}/image.tif",
        "*_labels/*_labels_{id}/labels.tif",
        {
            f"nasa_v1_labels/nasa_v1_labels_{i}/labels.tif": [
                f"nasa_v1_source/nasa_v1_source_{i}/image.tif"
            ]
            for i in ("20160928_153233_16816-29821-16", "20170326_153234_16816-29828-16", "x3")
        },
        ["nasa_v1_labels/collection.json"],
    ),
    Folder(
        "yearly rasters of two kinds",
        "naip_{id}.tif",
        "cdl_{id}.tif",
        {f"cdl_{y}.tif": [f"naip_{y}.tif"] for y in (2019, 2020, 2021)},
    ),
    Folder(
        "vegetation plots with crowns as polygons",
        "{split}/RemoteSensing/RGB/{id}.tif",
        "{split}/ITC/{id}.geojson",
        {
            f"train/ITC/{p}.geojson": [f"train/RemoteSensing/RGB/{p}.tif"]
            for p in ("MLBS_1", "MLBS_12", "OSBS_3")
        },
        [f"train/RemoteSensing/CHM/{p}.tif" for p in ("MLBS_1", "MLBS_12", "OSBS_3")],
        {"train"},
    ),
    Folder(
        "optical patches with months",
        "patches/{tile}/{id}/S2_{id}_??.tif",
        "patches/{tile}/{id}/{id}_crop_label.tif",
        {
            f"patches/{t}/{t}_p{i}/{t}_p{i}_crop_label.tif": [
                f"patches/{t}/{t}_p{i}/S2_{t}_p{i}_{m:02d}.tif" for m in (3, 6, 9)
            ]
            for t in ("31TCG", "32TNS")
            for i in (1, 20)
        },
    ),
    Folder(
        "tiles by row and column",
        "{area}/sat/{id}.jpg",
        "{area}/landcover/{id}.png",
        {
            f"{a}/landcover/{r}_{c}.png": [f"{a}/sat/{r}_{c}.jpg"]
            for a in ("north", "south")
            for r in (0, 512)
            for c in (0, 512)
        },
    ),
    Folder(
        "Landsat scenes in Unicode folders with blanks",
        "Région {id}/bands/B?.tif",
        "Région {id}/classes.tif",
        {
            f"Région {i}/classes.tif": [f"Région {i}/bands/B{b}.tif" for b in (2, 3, 4)]
            for i in ("1", "2", "10")
        },
    ),
    Folder(
        "radar of two polarizations and three masks",
        "{id}/{id}_V?.tif",
        "{id}/{id}_water_mask.tif",
        {
            f"{i}/{i}_water_mask.tif": [f"{i}/{i}_VH.tif", f"{i}/{i}_VV.tif"]
            for i in ("egypt_01", "egypt_02", "peru_01")
        },
        [f"{i}/{i}_DEM.tif" for i in ("egypt_01", "egypt_02", "peru_01")]
        + [f"{i}/{i}_invalid_mask.tif" for i in ("egypt_01", "egypt_02", "peru_01")],
    ),
    Folder(
        "field zones beside drone images",
        "{id}_ortho.tif",
        "{id}_zones.tif",
        {f"farm{i}_zones.tif": [f"farm{i}_ortho.tif"] for i in (1, 2, 30)},
        ["farm1_dem.tif", "farm2_dem.tif", "farm30_dem.tif"],
    ),
    Folder(
        "roads, with the split as a suffix",
        "{split}_set/{id}_sat.tiff",
        "{split}_set/{id}_map.tif",
        {
            f"{s}_set/{i}_map.tif": [f"{s}_set/{i}_sat.tiff"]
            for s, i in (("training", 10), ("training", 11), ("validation", 20), ("testing", 30))
        },
        splits={*SPLIT},
        masks="_map.tif",
    ),
    Folder(
        "one sample of bands alone",
        "scene/B*.tif",
        "scene_label.tif",
        {"scene_label.tif": ["scene/B2.tif", "scene/B3.tif", "scene/B10.tif"]},
    ),
    Folder(
        "one image alone",
        "images/{id}.tif",
        "masks/{id}_mask.tif",
        {"masks/a_1_mask.tif": ["images/a_1.tif"]},
    ),
    Folder(
        "images and labels of two endings, split as a suffix",
        "tiff/{split}/{id}.tiff",
        "tiff/{split}_labels/{id}.tif",
        {
            f"tiff/{s}_labels/{i}_15.tif": [f"tiff/{s}/{i}_15.tiff"]
            for s, i in (("train", 22678915), ("train", 22678930), ("val", 22828930), ("test", 2))
        },
        splits={*SPLIT},
    ),
    Folder(
        "tiles of departments",
        "aerial_train/{area}/{zone}/img/IMG_{id}.tif",
        "labels_train/{area}/{zone}/msk/MSK_{id}.tif",
        {
            f"labels_train/{d}/{z}/msk/MSK_{i:06d}.tif": [
                f"aerial_train/{d}/{z}/img/IMG_{i:06d}.tif"
            ]
            for d, z, i in (
                ("D004_2021", "Z1_NN", 1),
                ("D004_2021", "Z1_NN", 2),
                ("D014_2020", "Z12_AA", 77),
            )
        },
        ["metadata_aerial.json"],
    ),
    Folder(
        "frames of drone flights",
        "drone_{split}/{flight}/Images/{id}.png",
        "drone_{split}/{flight}/Labels/{id}.png",
        {
            f"drone_{s}/seq{q}/Labels/{i:06d}.png": [f"drone_{s}/seq{q}/Images/{i:06d}.png"]
            for s, q in (("train", 1), ("train", 2), ("val", 16))
            for i in (0, 100)
        },
        ["drone_test/seq21/Images/000000.png"],
        {"train", "val"},
    ),
    Folder(
        "masks as codes and as colors",
        "original_images/{id}.jpg",
        "label_images_semantic/{id}.png",
        {f"label_images_semantic/{i:03d}.png": [f"original_images/{i:03d}.jpg"] for i in (0, 50)},
        [f"RGB_color_image_masks/{i:03d}.png" for i in (0, 50)],
    ),
    Folder(
        "radar before and after, told by content",
        "data/{a}/{h}/SL?_I??_*.tif",
        "data/{a}/{h}/MK0_MLU_*.tif",
        {
            f"data/{a}/{h}/MK0_MLU_{a}_20200101.tif": [
                f"data/{a}/{h}/SL{n}_{p}_{a}_202001{d}.tif"
                for n, d in ((1, "01"), (2, "13"))
                for p in ("IVH", "IVV")
            ]
            for a, h in ((1111020, "0a1b2c"), (1111003, "33fe01"), (118, "9c8d7e"))
        },
        [
            f"data/{a}/{h}/MK0_DEM_{a}_20200101.tif"
            for a, h in ((1111020, "0a1b2c"), (1111003, "33fe01"), (118, "9c8d7e"))
        ],
        masks="MLU",
    ),
    Folder(
        "monthly mosaics and labels",
        "planet/{cube}/{id}.tif",
        "labels/{cube}/{id}.tif",
        {
            f"labels/{c}/{c}-2018-{m:02d}-01.tif": [f"planet/{c}/{c}-2018-{m:02d}-01.tif"]
            for c in ("1311_3077_13", "1417_3281_13")
            for m in (1, 2, 10)
        },
    ),
    Folder(
        "two dates in two folders",
        "im?/{id}.png",
        "label/{id}.png",
        {f"label/{i:05d}.png": [f"im1/{i:05d}.png", f"im2/{i:05d}.png"] for i in (1, 2, 3)},
    ),
    Folder(
        "names without separators",
        "Images/Tile{id}.tif",
        "Masks/Tile{id}Mask.tif",
        {f"Masks/Tile{i}Mask.tif": [f"Images/Tile{i}.tif"] for i in (1, 2, 3)},
    ),
    Folder(
        "bands of dates of tiles",
        "data/{year}/{month}/{id}_B??.tif",
        "data/{year}/{month}/{id}_label.tif",
        {
            f"data/{y}/{m:02d}/{t}_{y}{m:02d}11_label.tif": [
                f"data/{y}/{m:02d}/{t}_{y}{m:02d}11_{b}.tif" for b in ("B02", "B03", "B04")
            ]
            for y in (2019, 2020)
            for m in (4, 11)
            for t in ("32UQD", "33UUU")
        },
    ),
    Folder(
        "one layer of fields for all bands",
        "S2_2020_B??.tif",
        "fields.gpkg",
        {"fields.gpkg": ["S2_2020_B02.tif", "S2_2020_B03.tif", "S2_2020_B04.tif"]},
    ),
]


def check(folder, images, labels):
    """Return the labels whose images are wrong with some patterns, and the pairing."""
    files = folder.files
    pairing = pair(match_files(images, files), match_files(labels, files))
    got = {}
    for sample in pairing.samples:
        assert len(sample.labels) == 1, sample
        got.setdefault(sample.labels[0].path, []).extend(m.path for m in sample.images)
    wrong = [k for k in folder.pairs.keys() | got if folder.pairs.get(k) != got.get(k)]
    return wrong, pairing
