"""Medical files for tests: an oblique volume, and a CT series as a scanner would write it."""

from __future__ import annotations

import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING = (0.7, 0.8, 2.5)  # x, y, z
ORIGIN = (-31.5, 12.25, 140.0)
SLOPE, INTERCEPT = 0.5, -1024.0


def rotation(degrees=(10, -20, 35)):
    """Return a matrix whose columns are directions at right angles."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = (place for place in range(3) if place != axis)
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def itk_image(array, direction=None):
    """Return an image of SimpleITK with the spacing and origin above."""
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection((rotation() if direction is None else direction).ravel())
    return image


def volume(shape=(5, 6, 7)):
    """Return int16 (Z, Y, X) with no two planes, rows or columns alike."""
    return (np.arange(np.prod(shape)).reshape(shape) * 3 - 300).astype(np.int16)


def geometry_of(image):
    """Return what has to be kept."""
    return [*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]


def write_ct_series(folder, stored, *, left_out=(), direction=None, prefix="image"):
    """Write uint16 (Z, Y, X) as CT files; stored * SLOPE + INTERCEPT are Hounsfield units.

    The names of the files say nothing of their order. Returns the frame of reference's UID.
    """
    folder.mkdir(exist_ok=True)
    axes = np.eye(3) if direction is None else direction
    names = np.random.default_rng(0).permutation(len(stored))
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for plane, name in enumerate(names):
        if plane in left_out:
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = pydicom.Dataset()
        data.file_meta = meta
        data.SOPClassUID = CTImageStorage
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.FrameOfReferenceUID = frame
        data.PatientID, data.PatientName = "P1", "Made^Up"
        data.PatientBirthDate, data.PatientSex = "19700101", "O"
        data.StudyDate, data.StudyTime, data.StudyID = "20200101", "120000", "1"
        data.AccessionNumber, data.ReferringPhysicianName = "1", "None"
        data.PositionReferenceIndicator = ""
        data.Modality, data.SeriesDescription = "CT", "made up"
        data.Manufacturer, data.SeriesNumber, data.InstanceNumber = "none", 1, plane + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        place = np.array(ORIGIN) + plane * SPACING[2] * axes[:, 2]
        data.ImagePositionPatient = [f"{value:.8f}" for value in place]
        data.ImageOrientationPatient = [f"{v:.8f}" for v in (*axes[:, 0], *axes[:, 1])]
        data.PixelSpacing = [SPACING[1], SPACING[0]]
        data.SliceThickness = SPACING[2]
        data.Rows, data.Columns = stored.shape[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = SLOPE, INTERCEPT, "HU"
        data.PixelData = np.ascontiguousarray(stored[plane], "<u2").tobytes()
        data.save_as(folder / f"{prefix}{name:03d}", enforce_file_format=True)
    return frame
