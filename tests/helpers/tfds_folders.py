"""Folders as TensorFlow Datasets prepares them, without MNIST in them."""

import json

import numpy as np

from custom_lstm.data.mnist import SIZES, prepared_folder

SHARDS = {name: f"mnist-{name}.tfrecord-00000-of-00001" for name in SIZES}


def write_descriptions(root):
    """Describe an MNIST of one shard to a split; return the folder for the shards."""
    place = prepared_folder(root)
    place.mkdir(parents=True)
    info = {
        "name": "mnist",
        "version": place.name,
        "fileFormat": "tfrecord",
        "moduleName": "tensorflow_datasets.image_classification.mnist",
        "splits": [
            {
                "name": name,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "numBytes": "1",
                "shardLengths": [str(size)],
            }
            for name, size in SIZES.items()
        ],
    }
    features = "tensorflow_datasets.core.features"
    image = {"dtype": "uint8", "shape": {"dimensions": ["28", "28", "1"]}}
    classes = {
        "image": {
            "image": image,
            "pythonClassName": f"{features}.image_feature.Image",
        },
        "label": {
            "classLabel": {"numClasses": "10"},
            "pythonClassName": f"{features}.class_label_feature.ClassLabel",
        },
    }
    description = {
        "featuresDict": {"features": classes},
        "pythonClassName": f"{features}.features_dict.FeaturesDict",
    }
    (place / "dataset_info.json").write_text(json.dumps(info))
    (place / "features.json").write_text(json.dumps(description))
    return place


def write_unreadable(root):
    """Prepare a folder that looks complete and whose shards hold no records."""
    place = write_descriptions(root)
    for shard in SHARDS.values():
        (place / shard).write_bytes(b"these are no records" * 10)
    return place


def synthetic_labels(split):
    """Give the labels that `write_synthetic` writes."""
    step = {"train": 7, "test": 3}[split]
    return (np.arange(SIZES[split]) * step % 10).astype(np.uint8)


def write_synthetic(root):
    """Prepare a readable folder: a digit d is an image of brightness 20·d."""
    import tensorflow as tf

    def record(digit):
        image = tf.fill((28, 28, 1), tf.constant(20 * digit, tf.uint8))
        png = tf.train.BytesList(value=[tf.io.encode_png(image).numpy()])
        label = tf.train.Int64List(value=[digit])
        feature = {
            "image": tf.train.Feature(bytes_list=png),
            "label": tf.train.Feature(int64_list=label),
        }
        features = tf.train.Features(feature=feature)
        return tf.train.Example(features=features).SerializeToString()

    records = [record(digit) for digit in range(10)]
    place = write_descriptions(root)
    for split, shard in SHARDS.items():
        with tf.io.TFRecordWriter(str(place / shard)) as writer:
            for label in synthetic_labels(split):
                writer.write(records[label])
    return place
