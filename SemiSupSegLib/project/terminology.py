"""What common organ names mean: the terminology entry that Slicer stores with a segment (SNOMED CT codes).

The codes are those of Slicer's own two lists and, for the few structures that they lack, of published CT segmentations.
"""

from __future__ import annotations

__all__ = ["terminology_of"]

GENERAL = "Segmentation category and type - 3D Slicer General Anatomy list"
MASTER = "Segmentation category and type - DICOM master list"
REGIONS = "Anatomic codes - DICOM master list"
SIDES = {"left": "7771000^Left", "right": "24028007^Right"}


def terminology_of(name: str) -> str | None:
    """Slicer's serialized terminology entry for an organ.

    Args:
        name: an English name in any case, with blanks or ``_``; ``left`` or ``right`` in front or behind for paired
            organs.

    Returns:
        ``context~category~type~modifier~region context~region~region modifier``, each code as ``SCT^number^meaning``;
        None when the name is not known here.
    """
    words = name.casefold().replace("_", " ").split()
    single = _SINGLE.get(" ".join(words))
    if single:
        return _entry(*single)
    sides = [word for word in words if word in SIDES]
    paired = _PAIRED.get(" ".join(word for word in words if word not in SIDES))
    if paired is None or len(sides) > 1:
        return None
    return _entry(*paired, side=sides[0] if sides else None)


def _entry(context: str, code: str, meaning: str, *, side: str | None = None) -> str:
    modifier = f"SCT^{SIDES[side]}" if side else "^^"
    return f"{context}~SCT^123037004^Anatomical Structure~SCT^{code}^{meaning}~{modifier}~{REGIONS}~^^~^^"


_SINGLE: dict[str, tuple[str, str, str]] = {
    "aorta": (GENERAL, "15825003", "Aorta"),
    "bladder": (GENERAL, "89837001", "Bladder"),
    "brain": (GENERAL, "12738006", "Brain"),
    "cervical spine": (GENERAL, "122494005", "Cervical spine"),
    "coccyx": (MASTER, "64688005", "Coccyx"),
    "colon": (GENERAL, "71854001", "Colon"),
    "diaphragm": (MASTER, "5798000", "Diaphragm"),
    "duodenum": (GENERAL, "38848004", "Duodenum"),
    "esophagus": (GENERAL, "32849002", "Esophagus"),
    "gallbladder": (GENERAL, "28231008", "Gallbladder"),
    "heart": (GENERAL, "80891009", "Heart"),
    "inferior vena cava": (MASTER, "64131007", "Inferior vena cava"),
    "left atrium": (MASTER, "82471001", "Left atrium"),
    "left ventricle": (GENERAL, "87878005", "Left Ventricle"),
    "liver": (GENERAL, "10200004", "Liver"),
    "lumbar spine": (GENERAL, "122496007", "Lumbar spine"),
    "mandible": (GENERAL, "91609006", "Mandible"),
    "myocardium": (MASTER, "74281007", "Myocardium"),
    "oesophagus": (GENERAL, "32849002", "Esophagus"),
    "pancreas": (GENERAL, "15776009", "Pancreas"),
    "pericardium": (GENERAL, "76848001", "Pericardium"),
    "portal and splenic vein": (MASTER, "110765007", "Portal vein and splenic vein"),
    "portal vein": (MASTER, "32764006", "Portal vein"),
    "portal vein and splenic vein": (MASTER, "110765007", "Portal vein and splenic vein"),
    "prostate": (GENERAL, "41216001", "Prostate"),
    "rectum": (MASTER, "34402009", "Rectum"),
    "right atrium": (MASTER, "73829009", "Right atrium"),
    "right ventricle": (GENERAL, "53085002", "Right Ventricle"),
    "sacrum": (MASTER, "54735007", "Sacrum"),
    "skull": (GENERAL, "89546000", "Skull"),
    "small bowel": (GENERAL, "30315005", "Small Intestine"),
    "small intestine": (GENERAL, "30315005", "Small Intestine"),
    "spinal cord": (GENERAL, "2748008", "Spinal cord"),
    "spine": (MASTER, "421060004", "Spine"),
    "spleen": (GENERAL, "78961009", "Spleen"),
    "splenic vein": (MASTER, "35819009", "Splenic vein"),
    "sternum": (GENERAL, "56873002", "Sternum"),
    "stomach": (GENERAL, "69695003", "Stomach"),
    "superior vena cava": (MASTER, "48345005", "Superior vena cava"),
    "thoracic spine": (GENERAL, "122495006", "Thoracic spine"),
    "thyroid": (GENERAL, "69748006", "Thyroid"),
    "thyroid gland": (GENERAL, "69748006", "Thyroid"),
    "trachea": (GENERAL, "44567001", "Trachea"),
    "urinary bladder": (GENERAL, "89837001", "Bladder"),
    "uterus": (GENERAL, "35039007", "Uterus"),
}

_PAIRED: dict[str, tuple[str, str, str]] = {
    "adrenal gland": (GENERAL, "23451007", "Adrenal gland"),
    "autochthon": (MASTER, "244849004", "Deep muscle of back"),
    "clavicle": (GENERAL, "51299004", "Clavicle"),
    "femur": (MASTER, "71341001", "Femur"),
    "fibula": (MASTER, "87342007", "Fibula"),
    "hip": (MASTER, "29836001", "Hip"),
    "humerus": (MASTER, "85050009", "Humerus"),
    "iliopsoas": (MASTER, "68455001", "Iliopsoas muscle"),
    "kidney": (GENERAL, "64033007", "Kidney"),
    "lung": (GENERAL, "39607008", "Lung"),
    "ovary": (GENERAL, "15497006", "Ovary"),
    "patella": (MASTER, "64234005", "Patella"),
    "pulmonary artery": (MASTER, "81040000", "Pulmonary artery"),
    "pulmonary vein": (MASTER, "122972007", "Pulmonary vein"),
    "rib": (GENERAL, "113197003", "Rib"),
    "scapula": (MASTER, "79601000", "Scapula"),
    "seminal vesicle": (GENERAL, "64739004", "Seminal Vesicle"),
}
