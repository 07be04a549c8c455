"""Metrics of generated pictures, each as a streaming Keras metric and as a plain function over arrays."""

from tfgen.metrics.elbo import HeldOutELBO as HeldOutELBO
from tfgen.metrics.features import feature_extractor as feature_extractor
from tfgen.metrics.features import inception_v3 as inception_v3
from tfgen.metrics.features import predict_images as predict_images
from tfgen.metrics.features import to_float_images as to_float_images
from tfgen.metrics.frechet import FrechetDistance as FrechetDistance
from tfgen.metrics.frechet import frechet_distance as frechet_distance
from tfgen.metrics.inception_score import InceptionScore as InceptionScore
from tfgen.metrics.inception_score import inception_score as inception_score
from tfgen.metrics.kernel import KernelDistance as KernelDistance
from tfgen.metrics.kernel import kernel_distance as kernel_distance
from tfgen.metrics.neighbours import NearestTrainingPictures as NearestTrainingPictures
from tfgen.metrics.neighbours import PrecisionRecall as PrecisionRecall
from tfgen.metrics.neighbours import nearest_neighbours as nearest_neighbours
from tfgen.metrics.neighbours import precision_recall as precision_recall
from tfgen.metrics.prompt_accuracy import PromptAccuracy as PromptAccuracy
from tfgen.metrics.prompt_accuracy import all_attributes_match as all_attributes_match
from tfgen.metrics.similarity import PSNR as PSNR
from tfgen.metrics.similarity import SSIM as SSIM
from tfgen.metrics.similarity import MultiscaleSSIM as MultiscaleSSIM
from tfgen.metrics.similarity import multiscale_ssim as multiscale_ssim
from tfgen.metrics.similarity import psnr as psnr
from tfgen.metrics.similarity import ssim as ssim
