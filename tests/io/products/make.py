"""Miniature products with the real names and the metadata that are read."""

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin

from swath.io.products.bands import HLS_L30, LANDSAT, SENTINEL2A, SENTINEL2B
from swath.io.products.sentinel2 import NATIVE
from tests.make import UTM, noise, write_raster

SIDE = 60
"""Side of a miniature in pixels of 10 m; a multiple of 60."""


def grid(meters, x=500_000, y=5_600_000):
    return {"crs": UTM, "transform": from_origin(x, y, meters, meters)}


def stored(own, meters=10, low=1, high=8000, dtype="uint16"):
    """Return the numbers of a band, of its own; the first pixel has no data."""
    seed = sum(own.encode()) + meters
    out = noise(SIDE * 10 // meters, SIDE * 10 // meters, seed=seed, low=low, high=high)
    out = np.random.default_rng(seed).integers(low, high, out.shape).astype(dtype)
    out[0, 0] = 0
    return out


SCL = np.kron(np.arange(9).reshape(3, 3), np.ones((10, 10))).astype(np.uint8)
S2_NAME = "S2A_MSIL2A_20220612T101041_N0400_R022_T32TQM_20220612T143355"
S2_L1C = "S2B_MSIL1C_20191018T101029_N0208_R022_T32TQM_20191018T122155"
_S2_IDS = list(SENTINEL2A)


def _jp2(path, array, meters):
    options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
    return write_raster(path, array, **grid(meters), **options)


def s2_resolution(own):
    return NATIVE.get(own, 20)


def sentinel2(
    root, name=S2_NAME, *, level="2A", baseline="04.00", offset=-1000, skip=(), copies=True
):
    """Write a SAFE folder; `skip` leaves out files whose names contain one of the words."""
    folder = root / f"{name}.SAFE"
    tile = "T32TQM_20220612T101041"
    granule = f"GRANULE/L{level}_T32TQM_A036409_20220612T101042"
    own_table = SENTINEL2A if name.startswith("S2A") else SENTINEL2B
    listed = []

    def image(own, meters, array):
        below = f"R{meters}m/" if level == "2A" else ""
        ending = f"_{meters}m" if level == "2A" else ""
        short = f"{granule}/IMG_DATA/{below}{tile}_{own}{ending}"
        listed.append(short)
        if not any(word in short for word in skip):
            _jp2(folder / f"{short}.jp2", array, meters)

    for own in _S2_IDS:
        if level == "2A" and own == "B10":
            continue
        native = s2_resolution(own)
        image(own, native, stored(own, native))
        if copies and level == "2A" and native == 10 and own != "B08":
            image(own, 20, stored(f"{own} copy", 20))
        if copies and level == "2A" and own == "B01":
            image(own, 20, stored(f"{own} copy", 20))
    if level == "2A":
        image("TCI", 10, np.stack([stored("TCI", high=255, dtype="uint8")] * 3))
        image("SCL", 20, np.kron(SCL, np.ones((SIDE // 60, SIDE // 60), np.uint8)))
    else:
        mask = folder / granule / "QI_DATA" / "MSK_CLASSI_B00.jp2"
        _jp2(mask, np.stack([(SCL[::3, ::3] == k).astype(np.uint8) for k in (1, 2, 3)]), 60)
    kind = "BOA" if level == "2A" else "RADIO"
    word = "BOA_QUANTIFICATION_VALUE" if level == "2A" else "QUANTIFICATION_VALUE"
    offsets = "".join(
        f'<{kind}_ADD_OFFSET band_id="{i}">{offset}</{kind}_ADD_OFFSET>' for i in range(13)
    )
    spectral = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="B{own[1:].lstrip("0")}"><Wavelength>'
        f'<CENTRAL unit="nm">{own_table[own].wavelength * 1000:.1f}</CENTRAL></Wavelength>'
        "</Spectral_Information>"
        for i, own in enumerate(_S2_IDS)
    )
    metadata = f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>2022-06-12T10:10:41.024Z</PRODUCT_START_TIME>
<PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Datatake datatakeIdentifier="x"><SPACECRAFT_NAME>Sentinel-{name[1:3]}</SPACECRAFT_NAME></Datatake>
<Product_Organisation><Granule_List><Granule granuleIdentifier="g">
{"".join(f"<IMAGE_FILE>{short}</IMAGE_FILE>" for short in listed)}
</Granule></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics>
<QUANTIFICATION_VALUES_LIST><{word} unit="none">10000</{word}></QUANTIFICATION_VALUES_LIST>
{f"<{kind}_ADD_OFFSET_VALUES_LIST>{offsets}</{kind}_ADD_OFFSET_VALUES_LIST>" if offset else ""}
<Spectral_Information_List>{spectral}</Spectral_Information_List>
</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_User_Product>"""
    if "MTD" not in skip:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"MTD_MSIL{level}.xml").write_text(metadata)
    return folder


def zipped(folder, path=None):
    """Zip a folder with its own name inside."""
    path = path or folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


def tarred(folder, mode="w", ending=".tar"):
    """Pack the files of a folder, without the folder."""
    path = folder.with_name(folder.name + ending)
    with tarfile.open(path, mode) as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, file.name)
    return path


LANDSAT_NAMES = {
    9: "LC09_L2SP_193027_20220612_20220614_02_T1",
    5: "LT05_L2SP_193027_19960612_20200911_02_T1",
    7: "LE07_L2SP_193027_20000612_20200918_02_T1",
}
SUN = 59.5


def landsat(root, number=9, *, level="L2SP", metadata=("json",), skip=()):
    """Write a folder of a Collection 2 scene, with numbers in the metadata that are its own."""
    name = LANDSAT_NAMES[number].replace("L2SP", level)
    folder, files, one, two, heat = root / name, {}, {}, {}, {}
    table = LANDSAT[f"landsat-{number}"]
    surface = level.startswith("L2")

    def write(ending, key, array, meters=30, dtype=None):
        files[key] = f"{name}_{ending}.TIF"
        if not any(word in files[key] for word in skip):
            write_raster(folder / files[key], array, nodata=0, **grid(meters))

    for i, (own, band) in enumerate(table.items()):
        n = own[1:]
        thermal = band.name.startswith("lwir")
        if surface and (band.name in ("pan", "cirrus", "lwir12")):
            continue
        numbers = stored(own, 30, low=7000, high=40000)
        if not thermal:
            one[f"REFLECTANCE_MULT_BAND_{n}"] = f"{2e-5 + i * 1e-7:.4E}"
            one[f"REFLECTANCE_ADD_BAND_{n}"] = "-0.100000"
        one[f"RADIANCE_MULT_BAND_{n}"] = "1.2E-02"
        if surface and thermal:
            heat[f"TEMPERATURE_MULT_BAND_ST_{own}"] = "0.00341802"
            heat[f"TEMPERATURE_ADD_BAND_ST_{own}"] = "149.0"
            write(f"ST_{own}", f"FILE_NAME_BAND_ST_{own}", numbers)
        elif surface:
            two[f"REFLECTANCE_MULT_BAND_{n}"] = "2.75e-05"
            two[f"REFLECTANCE_ADD_BAND_{n}"] = "-0.2"
            write(f"SR_{own}", f"FILE_NAME_BAND_{n}", numbers)
        elif band.name == "pan":
            write(own, f"FILE_NAME_BAND_{n}", stored(own, 15, low=7000, high=40000), 15)
        else:
            write(own, f"FILE_NAME_BAND_{n}", numbers)
    clear = np.full((SIDE // 3, SIDE // 3), 21824, np.uint16)
    clear[: SIDE // 12] = 22280
    write("QA_PIXEL", "FILE_NAME_QUALITY_L1_PIXEL", clear)
    write("QA_RADSAT", "FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION", clear * 0)
    groups = {
        "PRODUCT_CONTENTS": {
            "PROCESSING_LEVEL": level,
            **files,
            "PROCESSING_SOFTWARE_VERSION": "LPGS_16.2.0",
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": f"LANDSAT_{number}",
            "DATE_ACQUIRED": "2022-06-12",
            "SCENE_CENTER_TIME": "10:04:31.1234560Z",
            "SUN_ELEVATION": str(SUN),
        },
        **({"LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": two} if surface else {}),
        **({"LEVEL2_SURFACE_TEMPERATURE_PARAMETERS": heat} if surface else {}),
        "LEVEL1_RADIOMETRIC_RESCALING": one,
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = {"json": _mtl_json, "txt": _mtl_text, "xml": _mtl_xml}
    for ending in metadata:
        (folder / f"{name}_MTL.{ending}").write_text(written[ending](groups))
    return folder


def _mtl_json(groups):
    return json.dumps({"LANDSAT_METADATA_FILE": groups})


def _mtl_text(groups):
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, values in groups.items():
        lines.append(f"  GROUP = {group}")
        lines += [
            f"    {k} = {v}" if k.startswith(("RADI", "REFL")) else f'    {k} = "{v}"'
            for k, v in values.items()
        ]
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END"])


def _mtl_xml(groups):
    inner = "".join(
        f"<{g}>{''.join(f'<{k}>{v}</{k}>' for k, v in values.items())}</{g}>"
        for g, values in groups.items()
    )
    return f'<?xml version="1.0"?><LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>'


HLS_NAMES = {
    "S30": "HLS.S30.T32TQM.2022163T101041.v2.0",
    "L30": "HLS.L30.T32TQM.2022163T100431.v2.0",
}


def hls(root, kind="S30", skip=()):
    """Write a folder of an HLS granule."""
    name = HLS_NAMES[kind]
    for own in SENTINEL2A if kind == "S30" else HLS_L30:
        if own not in skip:
            numbers = stored(own, 30, dtype="int16")
            numbers[0, 0] = -9999
            write_raster(root / name / f"{name}.{own}.tif", numbers, nodata=-9999, **grid(30))
    if "Fmask" not in skip:
        mask = np.where(np.arange(400).reshape(20, 20) < 100, 2, 0).astype(np.uint8)
        write_raster(root / name / f"{name}.Fmask.tif", mask, nodata=255, **grid(30))
    return root / name


PLANET = "20220612_101041_64_242b_3B"
COEFFICIENTS = [2.1e-5, 2.2e-5, 2.3e-5, 3.4e-5, 2.5e-5, 2.6e-5, 2.7e-5, 3.8e-5]


def planetscope(root, count=8, *, surface=True, scene=PLANET, udm="udm2", metadata=True, clip=""):
    """Write the files of a scene as an order has them; return the image."""
    middle = ("_SR" if surface else "") + ("_8b" if count == 8 else "")
    numbers = np.stack([stored(f"{scene} {i}", 30) for i in range(count)])
    numbers[:, 0, 0] = 0
    image = root / f"{scene}_AnalyticMS{middle}{clip}.tif"
    write_raster(image, numbers, nodata=0, photometric="minisblack", **grid(3))
    if udm == "udm2":
        layers = np.zeros((8, SIDE // 3, SIDE // 3), np.uint8)
        layers[0, SIDE // 12 :], layers[5, : SIDE // 12], layers[6] = 1, 1, 90
        write_raster(root / f"{scene}_udm2{clip}.tif", layers, **grid(3))
    elif udm:
        write_raster(root / f"{scene}_AnalyticMS_DN_udm.tif", numbers[0] * 0, **grid(3))
    if metadata:
        bands = "".join(
            f"<ps:bandSpecificMetadata><ps:bandNumber>{i}</ps:bandNumber>"
            f"<ps:reflectanceCoefficient>{c}</ps:reflectanceCoefficient>"
            "</ps:bandSpecificMetadata>"
            for i, c in enumerate(COEFFICIENTS[:count], 1)
        )
        (root / f"{scene}_AnalyticMS{'_8b' * (count == 8)}_metadata{clip}.xml").write_text(
            '<?xml version="1.0"?><ps:EarthObservation xmlns:ps="http://schemas.planet.com/ps/v1/'
            f'planet_product_metadata_geocorrected_level">{bands}</ps:EarthObservation>'
        )
    return image


S1_NAME = "S1A_IW_GRDH_1SDV_20220612T052542_20220612T052607_043625_053545_7E3F"


def sentinel1_grd(root, skip=()):
    """Write a SAFE folder with ground control points, in no CRS of its own."""
    folder = root / f"{S1_NAME}.SAFE"
    points = [
        GroundControlPoint(row, col, 11 + col * 1e-4 + row * 1e-5, 47 - row * 1e-4)
        for row in (0, 10, 20)
        for col in (0, 10, 20)
    ]
    for band in ("vv", "vh"):
        if band not in skip:
            name = f"s1a-iw-grd-{band}-20220612t052542-20220612t052607-043625-053545-001.tiff"
            write_raster(
                folder / "measurement" / name,
                stored(band, 30, high=900),
                crs="EPSG:4326",
                gcps=points,
            )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.safe").write_text("<xfdu/>")
    return folder


RTC_NAME = "S1A_IW_20220612T052542_DVP_RTC10_G_g{scale}uned_7E3F"


def sentinel1_rtc(root, scale="p"):
    """Write a folder of ASF's terrain-corrected backscatter: power, amplitude or decibels."""
    name = RTC_NAME.format(scale=scale)
    for band in ("VV", "VH"):
        power = stored(band, 30, high=900).astype(np.float32) / 1000
        values = {"p": power, "a": np.sqrt(power), "d": 10 * np.log10(np.maximum(power, 1e-9))}
        numbers = values[scale]
        numbers[0, 0] = -9999
        write_raster(root / name / f"{name}_{band}.tif", numbers, nodata=-9999, **grid(10))
    write_raster(root / name / f"{name}_ls_map.tif", stored("ls", 30), **grid(10))
    return root / name


def stac_item(path, assets, *, name="scene-7", collection=None, version="1.0.0", **properties):
    """Write a STAC item."""
    content = {
        "type": "Feature",
        "stac_version": version,
        "id": name,
        "geometry": None,
        "properties": {"datetime": "2022-06-12T10:10:41.024Z", **properties},
        "links": [],
        "assets": assets,
        **({"collection": collection} if collection else {}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def sentinel2_item(path, product: Path, *, style="earth-search", **properties):
    """Write the item of a SAFE folder in the style of Earth Search or the Planetary Computer."""
    assets = {}
    for image in sorted(product.rglob("*.jp2")):
        own = image.stem.split("_")[-2]
        if own in SENTINEL2A and image.parent.name == f"R{s2_resolution(own)}m":
            band = SENTINEL2A[own]
            common = "rededge" if band.name.startswith("rededge") else band.name
            fields = {"href": str(image), "type": "image/jp2", "roles": ["data", "reflectance"]}
            fields["eo:bands"] = [{"name": own, "common_name": common}]
            if style == "earth-search":
                fields["raster:bands"] = [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]
            assets[band.name if style == "earth-search" else own] = fields
        elif own == "SCL":
            assets["scl" if style == "earth-search" else "SCL"] = {
                "href": str(image),
                "type": "image/jp2",
                "roles": ["data"],
            }
        elif own == "TCI":
            bands = [{"name": b} for b in ("B04", "B03", "B02")]
            assets["visual"] = {"href": str(image), "type": "image/jp2", "eo:bands": bands}
    return stac_item(
        path,
        assets,
        collection="sentinel-2-l2a",
        platform="sentinel-2a",
        constellation="sentinel-2",
        **properties,
    )
