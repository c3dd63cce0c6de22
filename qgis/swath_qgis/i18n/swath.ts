<?xml version="1.0" encoding="utf-8"?>
<TS version="2.1">
  <context>
    <name>Swath</name>
    <message>
      <source>Model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Swath models</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class column</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The layer of {} cannot be read</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Inspect training data</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Reads every pixel and every label, and reports what is here and what is wrong with it: classes, bands, nodata, labels outside of the rasters, duplicates. Features are taken as QGIS has them: filtered, selected, edited. The findings are in the log and in the report.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Train a model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Trains a model on rasters and a layer of polygons, lines or points with their classes. Quick: seconds to minutes, from tens of labels in one scene, scored by folds over them. Full: a network trained for the minutes given, on hundreds of labels or several scenes, scored on blocks that training has not seen. Several rasters of one band each on one grid are the bands of one scene. A cancelled full training goes on when it is run again with the same inputs and model file.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Where to label next</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Finds the regions whose label would teach the model most: uncertain, unlike what is labeled already, and spread over place and class.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Import ONNX</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Turns an ONNX segmentation network into a model file. What the file, or a STAC item beside it, says of bands, classes and scaling need not be given. Lists are separated by commas; scale, mean and deviation are one number, or one a band.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Bands, in the order of the network</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Classes, by channel of the output</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Factor on stored numbers</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mean to subtract</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Deviation to divide by</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ground sampling distance in meters</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Take class colors from the layer's symbology</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Width of points and lines in meters (default: one pixel)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Class of what no feature covers (default: no label)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Report folder</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Ready to train</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Report</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Quick</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Full</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Rasters</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Training</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Minutes of full training</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Mean IoU on held-out labels</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Raster (or its bands)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Number of regions</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>ONNX file</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Labels</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Steps of full training, instead of minutes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Labels until now</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Map raster with model</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Maps a raster with a model, on the raster's grid, with the classes' names and colors. The confidence, in percent, is a second layer of the same group. A raster of several files with one band each is given by all of them, in the order of the training. A cancelled run goes on when it is run again with the same inputs and map file.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Change between two maps</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Compares maps of two dates with the same classes: what became what, where, and how sure that is. Where probabilities or confidence lie beside the maps, a pixel counts as changed only if that is sure enough.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Sample points</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Draws points on a map for a person to check. Write the class that you see at each point into the column reference; the layer does not tell what the map says. Then estimate the areas. A file that exists is never replaced: it may hold points that somebody has checked.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Areas with confidence intervals</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Estimates the hectares of each class from checked points, corrected for the map's errors, with 95% intervals (Olofsson et al. 2014). The points must have been sampled on this very map, and each of them checked. Areas of a map of change need the command `swath area`.</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Column with the class that was seen</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Extent (default: all)</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Also map the confidence</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Points</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Map</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Map as polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Confidence</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Give one raster, or several of one band each on one grid</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Map of the first date</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Map of the second date</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Change</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Changes as polygons</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Number of points</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Seed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Checked points</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Areas</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Overall accuracy</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Probability of a change</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Swath</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Scene</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Classes</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Train quickly</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Map view</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Map all</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Where next?</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Previous</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Next</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>too few labels for a score</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancel</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Choose a scene and labels</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>There is no suggested place</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Place {} of {}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancelled; the same button goes on with a map</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Trained: {}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Failed</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>No Python 3.11 or newer with the module venv is found: install it</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Install Swath</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The layer {} has no feature with a geometry</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The layer {} is no raster file: save it as a GeoTIFF first</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The raster cannot be read: {}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Give its path, or install it, in Settings &gt; Options &gt; Swath</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The program {} is not found</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Cancelled</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>The program ended without a result: {}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>This is not the program swath: {}</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{} is too old for this plugin: install a newer one</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>{} cannot be run ({})</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>pip will fetch the program with PyTorch into your QGIS profile: about 1.7 GB on the disk, several more where PyTorch comes with CUDA. Go on?</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Check version</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Copy diagnostics</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Install into an environment of its own...</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Program</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Package</source>
      <translation type="unfinished" />
    </message>
    <message>
      <source>Diagnostics are on the clipboard</source>
      <translation type="unfinished" />
    </message>
  </context>
</TS>
